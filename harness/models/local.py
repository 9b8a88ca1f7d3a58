"""The in-process engine: a transformers model that answers the three questions of ``Model``."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.chat.template import encode as encode_chat
from harness.chat.template import render, takes, template_digest
from harness.engine.batches import Budget, Track, silently
from harness.engine.decoding import Choose, answers, likeliest
from harness.engine.likelihood import scored
from harness.engine.sampling import Sampling, drawn
from harness.engine.tokens import Scored, Scores, encode, rolling_windows, split_pairs
from harness.errors import DataError, UsageError
from harness.models.asked import COMPLETION, SCORES, Kept, answered
from harness.models.base import Completion, LogLikelihood
from harness.models.stop_strings import StopStrings
from harness.models.weights import Weights
from harness.records import Message, Messages
from harness.store import Nothing

LONGEST_WINDOW = 8192
"""Tokens; a longer context is never needed here, and some configs state absurd ones."""


@dataclass
class LocalModel:
    """A checkpoint to be asked. Its ``weights`` are read when an answer first needs them, and copies share them.

    ``stop_ids`` are those of the checkpoint's own generation config: the model is asked as it would be served.
    ``notes`` says what had to be assumed when it was loaded; ``digests`` names its weights, tokenizer and template.
    """

    name: str
    weights: Weights
    tokenizer: Any
    stop_ids: frozenset[int]
    budget: Budget
    notes: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    track: Track = silently
    kept: Kept = field(default_factory=Kept, init=False, repr=False)

    @property
    def module(self) -> Any:
        """The transformers model in evaluation mode; whatever is wrong with its weights is raised here."""
        return self.weights.module

    @property
    def device(self) -> str:
        """Where the model computes, as torch writes it; known without its weights."""
        return str(self.weights.device)

    @property
    def dtype(self) -> str:
        """What it computes in, as ``float32``; known without its weights."""
        return str(self.weights.dtype).removeprefix("torch.")

    @property
    def template_digest(self) -> str:
        """Short hash of the chat template that messages are rendered with."""
        return template_digest(self.tokenizer)

    @property
    def pad_id(self) -> int:
        """The id that fills up a batch; it is masked, so any id of the vocabulary would do."""
        return int(self.tokenizer.pad_token_id or 0)

    @property
    def longest(self) -> int:
        """How many tokens of a text fit into one forward pass."""
        stated = getattr(self.weights.config.get_text_config(), "max_position_embeddings", None) or LONGEST_WINDOW
        return int(min(stated, LONGEST_WINDOW)) - self.weights.virtual_tokens

    def generate(
        self, prompts: Sequence[Messages | str], *, max_new_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy completions, in the order of the prompts; see ``Model``."""
        strings = StopStrings(self.tokenizer, tuple(stop))
        ends = sorted(self.stop_ids), strings.strings, max_new_tokens
        questions = [(ids, *ends) for ids in self._with_room(prompts, max_new_tokens)]

        def ask(places: list[int]) -> Iterator[dict[int, Completion]]:
            for number, answer in self._generate([prompts[place] for place in places], max_new_tokens, strings):
                yield {places[number]: answer}

        return [strings.cut(answer) for answer in answered(self.kept, COMPLETION, questions, ask)]

    def loglikelihood(self, pairs: Sequence[tuple[Messages | str, str]]) -> list[LogLikelihood]:
        """Log-likelihood of each continuation after its context; see ``Model``."""
        texts = [(self.context(context), text) for context, text in pairs]
        rows = split_pairs(self.tokenizer, texts, self.longest)
        for index, ((context, text), row) in enumerate(zip(texts, rows, strict=True)):
            if row.targets < 1:
                raise DataError(
                    f"pair {index + 1} of {len(pairs)}: {self.name}'s tokenizer leaves the continuation {text!r} no "
                    f"token of its own after the context {context[-20:]!r}; put a space between the two, or a longer "
                    "text there."
                )
        return [
            LogLikelihood(sum(value for value, _ in tokens), all(greedy for _, greedy in tokens), len(tokens))
            for tokens in self.score(rows)
        ]

    def token_losses(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """Negative log probability of every token of each text; see ``Model``."""
        windows = [list(rolling_windows(self.tokenizer, text, self.longest)) for text in texts]
        scores = iter(self.score([window for text in windows for window in text]))
        return [tuple(-value for _ in text for value, _ in next(scores)) for text in windows]

    def afresh(self) -> LocalModel:
        """The same model without a memory: what it is asked twice it computes twice."""
        forgetful = copy.copy(self)
        forgetful.kept = Kept(Nothing())
        return forgetful

    def sample(
        self,
        prompts: Mapping[str, Messages | str],
        sampling: Sampling,
        copies: int,
        done: Collection[str] = (),
    ) -> Iterator[dict[str, list[Completion]]]:
        """Yield ``copies`` sampled answers to a prompt by its name, as they are finished, prompts in ``done`` left out.

        Seed, name and number of an answer decide its random numbers, so a run that was interrupted goes on to the same
        answers.
        """
        encoded = self._with_room(list(prompts.values()), sampling.max_new_tokens)
        asked = {name: ids for name, ids in zip(prompts, encoded, strict=True) if name not in done}
        if not asked:
            return
        names = list(asked)
        streams = [f"{name}\n{turn}" for name in names for turn in range(copies)]
        found: dict[str, dict[int, Completion]] = {name: {} for name in names}
        for number, answer in self._decode(
            list(asked.values()),
            sampling.max_new_tokens,
            StopStrings(self.tokenizer),
            "sampling",
            choose=drawn(streams, sampling),
            copies=copies,
        ):
            name = names[number // copies]
            found[name][number % copies] = answer
            if len(found[name]) == copies:
                yield {name: [answer for _, answer in sorted(found.pop(name).items())]}

    def _generate(
        self, prompts: Sequence[Messages | str], max_new_tokens: int, stop: StopStrings
    ) -> Iterable[tuple[int, Completion]]:
        """Yield the number of a prompt with the answer to it, not yet cut at a stop string, as answers end."""
        yield from self._decode(self._with_room(prompts, max_new_tokens), max_new_tokens, stop, "generating")

    def room(self, prompt: Messages | str) -> int:
        """How many new tokens an answer to this prompt can have at most."""
        return self.longest - len(self.prompt_ids(prompt))

    def _with_room(self, prompts: Sequence[Messages | str], max_new_tokens: int) -> list[list[int]]:
        if max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {max_new_tokens}, but an answer has at least one token.")
        encoded = [self.prompt_ids(prompt) for prompt in prompts]
        for index, ids in enumerate(encoded):
            if not ids:
                raise DataError(
                    f"prompt {index + 1} of {len(prompts)} is empty, and {self.name}'s tokenizer puts no token before "
                    "a text; write something for the model to go on from."
                )
            if len(ids) + max_new_tokens > self.longest:
                raise DataError(
                    f"prompt {index + 1} of {len(prompts)} has {len(ids)} tokens, which leaves no room for "
                    f"{max_new_tokens} new ones in {self.name}'s {self.longest} positions; shorten the prompt "
                    "(by fewer shots, where it has any), or allow fewer new tokens."
                )
        return encoded

    def _decode(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        stop: StopStrings,
        doing: str,
        choose: Choose = likeliest,
        copies: int = 1,
    ) -> Iterator[tuple[int, Completion]]:
        ending = answers(
            self.module,
            prompts,
            ended=lambda ids: ids[-1] in self.stop_ids or stop.end(ids),
            pad_id=self.pad_id,
            max_new_tokens=max_new_tokens,
            budget=self.budget,
            sharing=self.weights.sharing,
            choose=choose,
            copies=copies,
        )
        for _, (number, ids) in zip(self.track(range(copies * len(prompts)), doing), ending, strict=True):
            yield number, self._completion(ids)

    def prompt_ids(self, prompt: Messages | str) -> list[int]:
        """The token ids of a prompt; messages end with the generation prompt."""
        if isinstance(prompt, str):
            return encode(self.tokenizer, prompt)
        return encode_chat(self.tokenizer, self._taken(prompt), generation_prompt=True)

    def _taken(self, messages: Messages) -> list[Message]:
        if not takes(self.tokenizer, messages):
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise DataError(
                f"{self.name}: the chat template refuses a conversation of {roles}; "
                "leave such samples out, or put the system text into the first user message."
            )
        return list(messages)

    def _completion(self, ids: list[int]) -> Completion:
        ended = bool(ids) and ids[-1] in self.stop_ids
        return Completion(
            text=self.tokenizer.decode(ids, skip_special_tokens=True),
            raw=self.tokenizer.decode(ids, skip_special_tokens=False),
            ids=tuple(ids),
            finish="terminator" if ended else "length",
        )

    def score(self, rows: Sequence[Scored]) -> list[Scores]:
        """Natural-log probabilities of the scored tokens of each row, and whether each was the most likely one."""

        def ask(places: list[int]) -> Iterator[dict[int, Scores]]:
            place = {rows[each]: each for each in places}
            for done in scored(
                self.module,
                list(place),
                pad_id=self.pad_id,
                budget=self.budget,
                sharing=self.weights.sharing,
                track=self.track,
            ):
                yield {place[row]: tokens for row, tokens in done.items()}

        return answered(self.kept, SCORES, [(row.ids, row.targets) for row in rows], ask)

    def context(self, context: Messages | str) -> str:
        """The text after which a continuation is scored: as it is, or rendered by the chat template."""
        return (
            context
            if isinstance(context, str)
            else render(self.tokenizer, self._taken(context), generation_prompt=True)
        )
