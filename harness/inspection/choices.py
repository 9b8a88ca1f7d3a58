"""Where a prompt ends and a choice begins, in tokens: what is scored must be the choice, whole, and nothing else.

The split is lm-eval's: spaces at the end of a prompt go to the choice, and what lies behind the tokens of the prompt
alone is scored. A token that reaches over the border takes a part of the choice with it, which is legitimate as long
as the same choice wins without it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.engine.tokens import Scored, encode, split_pair
from harness.models.base import Model
from harness.records import Finding, Sample, SampleSet
from harness.requests import scored_pairs

if TYPE_CHECKING:
    from harness.models.local import LocalModel


def choices_are_scored_whole(model: Model, samples: SampleSet, *, chat: bool = False) -> list[Finding]:
    """The tokens that are scored read as the choice does, or the same choice wins where they are set apart."""
    from harness.models.local import LocalModel

    if not isinstance(model, LocalModel):
        return []
    cut = [
        sample
        for sample in samples
        if any(not _is_whole(model, context, scored) for context, scored in _texts(model, sample, chat))
    ]
    return [finding for sample in cut for finding in _of_sample(model, sample, chat)]


def prompts_end_in_no_space(model: Model, samples: SampleSet) -> list[Finding]:
    """A space that a prompt ends with is one more than running text has before a choice, and other tokens for it."""
    tokenizer = getattr(model, "tokenizer", None)
    findings = []
    for sample in samples:
        bare = sample.prompt.rstrip(" \t")
        if tokenizer is None or bare in (sample.prompt, "") or not sample.choices:
            continue
        wanted, found = (
            _shown_tokens(tokenizer, split_pair(tokenizer, prompt, f" {sample.choices[0]}", len(sample.prompt) + 999))
            for prompt in (bare, sample.prompt)
        )
        if wanted != found:
            findings.append(
                Finding(
                    "a prompt ends with a space, and another one delimits its choices",
                    f"{samples.name}, sample {sample.id}: ...{sample.prompt[-30:]!r}",
                    f"the choice {sample.choices[0]!r} scored as in running text: {wanted}",
                    found,
                    "end the prompt with its last word or sign (Answer:); the space before a choice is added",
                )
            )
    return findings


def _texts(model: LocalModel, sample: Sample, chat: bool) -> list[tuple[str, str]]:
    return [(model.context(context), scored) for context, scored in scored_pairs(sample, chat=chat)]


def _is_whole(model: LocalModel, context: str, scored: str) -> bool:
    """Whether the scored tokens read as the choice; one too long for the model has lost its beginning on purpose."""
    row = split_pair(model.tokenizer, context, scored, model.longest)
    if row.targets == model.longest:
        return True
    wanted = model.tokenizer.encode(scored.strip(), add_special_tokens=False)
    return _read(model.tokenizer, row.ids[len(row.ids) - row.targets :]) == _read(model.tokenizer, wanted)


def _of_sample(model: LocalModel, sample: Sample, chat: bool) -> list[Finding]:
    """Whether another choice wins once every choice begins with a token of its own."""
    texts = _texts(model, sample, chat)
    from harness.engine.batches import silently

    asked = [reply.total for reply in model.loglikelihood(texts)]
    rows = [_set_apart(model, context, scored) for context, scored in texts]
    apart = [sum(loss for loss, _ in tokens) for tokens in replace(model, track=silently).score(rows)]
    won, would_win = (totals.index(max(totals)) for totals in (asked, apart))
    if won == would_win:
        return []
    context, scored = texts[won]
    tokens = _shown_tokens(model.tokenizer, split_pair(model.tokenizer, context, scored, model.longest))
    return [
        Finding(
            "a choice wins by the tokens that it shares with its prompt",
            f"sample {sample.id}: ...{context[-20:]!r} and {scored!r}",
            f"{texts[would_win][1]!r} to win, as where every choice has all its tokens",
            f"{scored!r}, of which {tokens} is scored",
            "end the prompt (or the template's generation prompt) where a word ends, or begin the choices with a space",
        )
    ]


def _set_apart(model: LocalModel, context: str, scored: str) -> Scored:
    own = model.tokenizer.encode(scored, add_special_tokens=False)
    ids = [*encode(model.tokenizer, context), *own][-(model.longest + 1) :]
    return Scored(tuple(ids), min(len(own), len(ids) - 1))


def _read(tokenizer: Any, ids: Any) -> str:
    return str(tokenizer.decode(list(ids))).strip()


def _shown_tokens(tokenizer: Any, row: Scored) -> str:
    ids = row.ids[len(row.ids) - row.targets :]
    return " ".join(repr(tokenizer.decode([token])) for token in ids) or "no token"
