"""The in-process engine: a transformers model that answers the three questions of ``Model``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.chat.template import encode as encode_chat
from harness.chat.template import render, takes, template_digest
from harness.errors import DataError
from harness.models.base import Completion, LogLikelihood
from harness.models.batches import Budget, Track, longest_first, silently
from harness.models.decoding import Choose, decode, likeliest
from harness.models.likelihood import score
from harness.models.sampling import Sampling, drawn
from harness.models.stop_strings import StopStrings
from harness.models.tokens import encode, rolling_windows, split_pair
from harness.models.weights import Weights
from harness.records import Message, Messages

Answer = TypeVar("Answer")

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
    _answered: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

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
        return self._once(
            ("generate", _key(prompts), max_new_tokens, strings.strings),
            lambda: list(map(strings.cut, self._generate(prompts, max_new_tokens, strings))),
        )

    def loglikelihood(self, pairs: Sequence[tuple[Messages | str, str]]) -> list[LogLikelihood]:
        """Log-likelihood of each continuation after its context; see ``Model``."""
        return self._once(("loglikelihood", _key(pairs)), lambda: self._loglikelihood(pairs))

    def token_losses(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """Negative log probability of every token of each text; see ``Model``."""
        return self._once(("token_losses", tuple(texts)), lambda: self._token_losses(texts))

    def _once(self, key: Any, answer: Callable[[], list[Answer]]) -> list[Answer]:
        """Ask the model once for several metrics over the same samples (acc and acc_norm; BLEU and ROUGE).

        Whole requests are kept, never single rows: a row's arithmetic depends in its last bits on its batch, so the
        same request must always be batched in the same way.
        """
        if key not in self._answered:
            self._answered[key] = answer()
        return list(self._answered[key])

    def sample(
        self,
        prompts: Mapping[str, Messages | str],
        sampling: Sampling,
        copies: int,
        done: Collection[str] = (),
    ) -> Iterator[dict[str, list[Completion]]]:
        """Yield ``copies`` sampled answers to each prompt by its name, a batch at a time, prompts in ``done`` left out.

        Seed, name and number of an answer decide its random numbers, and the batches are those of all prompts, so a
        run that was interrupted goes on to the same answers.
        """
        names = list(prompts)
        encoded = self._with_room(list(prompts.values()), sampling.max_new_tokens)
        lengths = [len(ids) + sampling.max_new_tokens for ids in encoded]
        batches = [
            [index for index in batch if names[index] not in done]
            for batch in longest_first(lengths, self.budget.for_copies(copies))
        ]
        for batch in self.track([batch for batch in batches if batch], "sampling"):
            streams = [f"{names[index]}\n{copy}" for index in batch for copy in range(copies)]
            answers = self._decode(
                [encoded[index] for index in batch],
                sampling.max_new_tokens,
                StopStrings(self.tokenizer),
                drawn(streams, sampling),
                copies,
            )
            yield {names[index]: answers[copies * place : copies * (place + 1)] for place, index in enumerate(batch)}

    def _generate(self, prompts: Sequence[Messages | str], max_new_tokens: int, stop: StopStrings) -> list[Completion]:
        encoded = self._with_room(prompts, max_new_tokens)
        lengths = [len(ids) + max_new_tokens for ids in encoded]
        answers: dict[int, Completion] = {}
        for batch in self.track(list(longest_first(lengths, self.budget)), "generating"):
            chosen = self._decode([encoded[index] for index in batch], max_new_tokens, stop)
            answers.update(zip(batch, chosen, strict=True))
        return [answers[index] for index in range(len(encoded))]

    def room(self, prompt: Messages | str) -> int:
        """How many new tokens an answer to this prompt can have at most."""
        return self.longest - len(self.prompt_ids(prompt))

    def _with_room(self, prompts: Sequence[Messages | str], max_new_tokens: int) -> list[list[int]]:
        encoded = [self.prompt_ids(prompt) for prompt in prompts]
        for index, ids in enumerate(encoded):
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
        choose: Choose = likeliest,
        copies: int = 1,
    ) -> list[Completion]:
        answers = decode(
            self.module,
            prompts,
            ended=lambda ids: ids[-1] in self.stop_ids or stop.end(ids),
            pad_id=self.pad_id,
            max_new_tokens=max_new_tokens,
            choose=choose,
            copies=copies,
        )
        return [self._completion(ids) for ids in answers]

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

    def _loglikelihood(self, pairs: Sequence[tuple[Messages | str, str]]) -> list[LogLikelihood]:
        rows = [split_pair(self.tokenizer, self.context(context), text, self.longest) for context, text in pairs]
        scored = score(self.module, rows, pad_id=self.pad_id, budget=self.budget, track=self.track)
        return [
            LogLikelihood(sum(value for value, _ in tokens), all(greedy for _, greedy in tokens), len(tokens))
            for tokens in scored
        ]

    def context(self, context: Messages | str) -> str:
        """The text after which a continuation is scored: as it is, or rendered by the chat template."""
        return (
            context
            if isinstance(context, str)
            else render(self.tokenizer, self._taken(context), generation_prompt=True)
        )

    def _token_losses(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        windows = [list(rolling_windows(self.tokenizer, text, self.longest)) for text in texts]
        flat = [window for text in windows for window in text]
        scored = iter(score(self.module, flat, pad_id=self.pad_id, budget=self.budget, track=self.track))
        return [tuple(-value for _ in text for value, _ in next(scored)) for text in windows]


def _key(value: Any) -> Any:
    """Turn messages (dicts in tuples) into something that a dict takes as a key."""
    if isinstance(value, dict):
        return tuple(sorted((key, _key(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_key(item) for item in value)
    return value
