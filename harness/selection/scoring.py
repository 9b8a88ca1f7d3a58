"""What an answer is worth beside the other answers to its prompt.

With references: the metric against them, so that the best of K is rejection sampling. Without: the mean of the metric
against each of the other answers, minimum Bayes risk decoding (Eikema and Aziz 2020, arXiv:2005.10283); with exact
match that is the majority vote of self-consistency (Wang et al. 2022, arXiv:2203.11171). The likelihood under the
teacher is no score here, because it prefers short and repetitive answers (Holtzman et al. 2019, arXiv:1904.09751).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import UsageError
from harness.metrics.stopping import leaked_control_text
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TextRule
from harness.models import Completion
from harness.records import Sample, SampleSet

RULES = {rule.name: rule for rule in (BLEU, CHRF, EXACT_MATCH, *ROUGE)}
"""The metrics that an answer can be scored by, each answer alone (BLEU and chrF as sentence scores)."""


class Against(StrEnum):
    """What answers are scored against."""

    REFERENCES = "references"
    ANSWERS = "answers"
    NOTHING = "nothing"


class Unusable(StrEnum):
    """Why an answer teaches nothing good, whatever its score."""

    UNFINISHED = "cut off at the token limit"
    EMPTY = "empty"
    CONTROL = "with control text inside"


@dataclass(frozen=True)
class Scored:
    """Of one answer: why it cannot be kept, or its score (None where there is nothing to score it against)."""

    text: str
    unusable: Unusable | None
    score: float | None


@dataclass(frozen=True)
class Scoring:
    """How the answers to one prompt are scored, in one metric for all prompts."""

    rule: TextRule
    against: Against
    control_tokens: Mapping[int, str]

    @property
    def signature(self) -> str:
        """All that makes a score comparable with another one."""
        settings = self.rule.settings.replace("level:corpus", "level:answer").replace("level:mean", "level:answer")
        return f"metric:{self.rule.name}|against:{self.against}|{settings}|version:1"

    def scored(self, sample: Sample, answers: Sequence[Completion]) -> list[Scored]:
        """Every answer with its score; those that cannot be kept have none, and no other is scored against them."""
        reasons = [self._unusable(answer) for answer in answers]
        usable = [place for place, reason in enumerate(reasons) if reason is None]
        return [
            Scored(answer.text, reason, None if reason else self._score(sample, answers, place, usable))
            for place, (answer, reason) in enumerate(zip(answers, reasons, strict=True))
        ]

    def _unusable(self, answer: Completion) -> Unusable | None:
        if answer.finish == "length":
            return Unusable.UNFINISHED
        if not answer.text.strip():
            return Unusable.EMPTY
        return Unusable.CONTROL if leaked_control_text({"": answer}, self.control_tokens) else None

    def _score(self, sample: Sample, answers: Sequence[Completion], place: int, usable: Sequence[int]) -> float | None:
        match self.against:
            case Against.REFERENCES:
                return self._value(answers[place].text, sample.references)
            case Against.ANSWERS:
                others = [answers[other].text for other in usable if other != place]
                return sum(self._value(answers[place].text, (other,)) for other in others) / max(1, len(others))
            case Against.NOTHING:
                return None

    def _value(self, answer: str, references: Sequence[str]) -> float:
        return self.rule.value([self.rule.score(answer, references)])


def scored_against(prompts: SampleSet, asked: Against | None, k: int) -> Against:
    """What the answers to these prompts are scored against: what is asked for, else the best that there is.

    Raises UsageError where the file or K does not give what is asked for.
    """
    has_references = bool(prompts.samples[0].references)
    if asked is Against.REFERENCES and not has_references:
        raise UsageError(f"{prompts.origin}: the prompts have no references to score against; leave --against out.")
    if asked is Against.ANSWERS and k < 2:
        raise UsageError("--against answers needs other answers to the same prompt: give --k 2 or more.")
    if asked is not None:
        return asked
    if has_references:
        return Against.REFERENCES
    return Against.ANSWERS if k > 1 else Against.NOTHING
