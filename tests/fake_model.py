"""A model of the three methods whose every reply a test writes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.models.base import Completion, LogLikelihood
from harness.records import Messages, Sample, SampleSet


def completion(text: str, *, stopped: bool = True, ids: Sequence[int] | None = None) -> Completion:
    """An answer of one token per UTF-8 byte (or of the ids given), with or without its terminator, id 1000."""
    body = tuple(text.encode()) if ids is None else tuple(ids)
    return Completion(text, text, (*body, 1000) if stopped else body, "terminator" if stopped else "length")


def no_likelihood(context: Messages | str, continuation: str) -> float:
    raise AssertionError(f"nobody should ask for the likelihood of {continuation!r}")


@dataclass
class FakeModel:
    """``answers`` by the last user message; ``likelihood`` of a pair; ``losses`` by text. Keeps what it was asked."""

    answers: Mapping[str, Completion | str] = field(default_factory=dict)
    likelihood: Callable[[Messages | str, str], float] = no_likelihood
    losses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    name: str = "fake"
    template_digest: str = "t0"
    limits: list[int] = field(default_factory=list)
    stops: list[tuple[str, ...]] = field(default_factory=list)

    def generate(
        self, prompts: Sequence[Messages | str], *, max_new_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        self.limits.append(max_new_tokens)
        self.stops.append(tuple(stop))
        replies = [self.answers[prompt if isinstance(prompt, str) else prompt[-1]["content"]] for prompt in prompts]
        return [reply if isinstance(reply, Completion) else completion(reply) for reply in replies]

    def loglikelihood(self, pairs: Sequence[tuple[Messages | str, str]]) -> list[LogLikelihood]:
        return [LogLikelihood(self.likelihood(*pair), False, len(pair[1].encode())) for pair in pairs]

    def token_losses(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [self.losses[text] for text in texts]


def sample(
    prompt: str,
    *,
    references: Sequence[str] = (),
    choices: Sequence[str] = (),
    target: int | None = None,
    sample_id: str | None = None,
) -> Sample:
    return Sample(
        id=sample_id or prompt,
        prompt=prompt,
        messages=({"role": "user", "content": prompt},),
        digest=f"digest of {prompt}",
        choices=tuple(choices),
        target=target,
        references=tuple(references),
    )


def sample_set(*samples: Sample, name: str = "set") -> SampleSet:
    return SampleSet(name, samples)


def answered(*rows: tuple[str, Sequence[str]]) -> tuple[FakeModel, SampleSet]:
    """A model and its samples, one for each (answer, references)."""
    questions = [f"question {number}" for number in range(len(rows))]
    model = FakeModel(answers={question: answer for question, (answer, _) in zip(questions, rows, strict=True)})
    samples = [sample(q, references=references) for q, (_, references) in zip(questions, rows, strict=True)]
    return model, sample_set(*samples)
