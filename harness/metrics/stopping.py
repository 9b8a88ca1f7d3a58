"""Does the model end its turn: the stop rate, the loop rate, and what must not happen inside an answer.

``hardly_stops`` and ``leaked_control_text`` are pure: they look at completions by sample id, as ``greedy_answers``
returns them, and report what they find. Like ``ends_in_a_loop`` they would rather miss than cry wolf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.metrics.answers import answer_signature, greedy_answers, mostly_empty
from harness.metrics.measuring import measure, require_samples
from harness.models.base import Completion, Model
from harness.records import Finding, Measurement, SampleSet

SHORTEST_CONTROL_TEXT = 5
"""Shorter control strings, such as <s> and </s>, are also markup that an answer may rightly spell out."""

LEAST_REPEATS = 8


def stop_rate(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Share of greedy answers that end by the terminator before the token limit; 0 to 1, higher is better."""
    require_samples("stop_rate", samples)
    answers = greedy_answers(model, samples, max_new_tokens=max_new_tokens)
    return measure(
        "stop_rate",
        samples,
        [(float(answers[sample.id].finish == "terminator"),) for sample in samples],
        signature=answer_signature(model, max_new_tokens),
        chance=0.0,
        problems=mostly_empty(samples, answers),
    )


def loop_rate(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Share of greedy answers that run into the limit in a loop; 0 to 1, lower is better.

    A rate and no invariant: a small model that was tuned well still loops now and then.
    """
    require_samples("loop_rate", samples)
    answers = greedy_answers(model, samples, max_new_tokens=max_new_tokens)
    return measure(
        "loop_rate",
        samples,
        [(float(ends_in_a_loop(answers[sample.id])),) for sample in samples],
        signature=answer_signature(model, max_new_tokens),
        problems=mostly_empty(samples, answers),
    )


def hardly_stops(completions: Mapping[str, Completion], *, alpha: float = 0.05) -> list[Finding]:
    """One finding where clearly less than half of the answers end by themselves: exact binomial test at ``alpha``.

    For prompts that ask for short answers; a model that was tuned to chat ends nearly all of them.
    """
    from scipy.stats import binomtest

    ended = sum(completion.finish == "terminator" for completion in completions.values())
    if not completions or binomtest(ended, len(completions), 0.5, alternative="less").pvalue > alpha:
        return []
    first = next(name for name, completion in completions.items() if completion.finish == "length")
    return [
        Finding(
            what="The model hardly ever ends an answer.",
            where=f"{len(completions) - ended} of {len(completions)} answers, sample {first} first",
            expected="most answers to end by a stop id before the token limit",
            found=f"{ended} ended; sample {first} goes on with ...{completions[first].raw[-60:]!r}",
            remedy="see that the terminator is supervised in the training rows (suites/test_mask.py) and that "
            "generation_config.eos_token_id holds it",
        )
    ]


def leaked_control_text(completions: Mapping[str, Completion], control_tokens: Mapping[int, str]) -> list[Finding]:
    """Answers with a control token before their end, or with one spelled out in ordinary tokens.

    ``control_tokens`` maps ids to their text. The terminator as the last id is where it belongs. At most one finding
    per answer, for its first leak.
    """
    found = ((name, _first_leak(completion, control_tokens)) for name, completion in completions.items())
    return [
        Finding(
            what="An answer contains control text.",
            where=f"sample {name}, {where}",
            expected="control tokens only as the terminator at the end",
            found=text,
            remedy="train the terminator at the end of every assistant turn, and let generation stop at it",
        )
        for name, leak in found
        if leak
        for where, text in [leak]
    ]


def _first_leak(completion: Completion, control_tokens: Mapping[int, str]) -> tuple[str, str] | None:
    """Where the first leak is, and what it is."""
    for position, token in enumerate(_body(completion)):
        if token in control_tokens:
            return f"token {position} of {len(completion.ids)}", f"{control_tokens[token]!r} (id {token})"
    for text in control_tokens.values():
        position = completion.text.find(text) if len(text) >= SHORTEST_CONTROL_TEXT else -1
        if position >= 0:
            return f"character {position} of {len(completion.text)}", f"{text!r}, spelled out in ordinary tokens"
    return None


def _body(completion: Completion) -> Sequence[int]:
    return completion.ids[:-1] if completion.finish == "terminator" else completion.ids


def ends_in_a_loop(completion: Completion) -> bool:
    """Whether an answer ran to the limit repeating one n-gram: at least 8 times, over at least half of the answer.

    An answer that ended by itself is no loop, however often it repeats ("ha ha ha", a refrain, a table's rule).
    """
    ids = completion.ids
    if completion.finish != "length":
        return False
    for period in range(1, len(ids) // LEAST_REPEATS + 1):
        length = period
        while length < len(ids) and ids[-1 - length] == ids[-1 - length + period]:
            length += 1
        if length >= LEAST_REPEATS * period and 2 * length >= len(ids):
            return True
    return False
