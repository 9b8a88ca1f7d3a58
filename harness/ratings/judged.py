"""What is known of a judge model's ratings beside the ratings: who judged, how it was asked, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from harness.errors import DataError
from harness.ratings.documents import Fields
from harness.ratings.rubric import CRITERIA


@dataclass(frozen=True)
class Orders:
    """How often, by one criterion, both orders of a pair gave one preference, and what the others look like.

    ``first`` and ``second`` count the pairs in which the answer at one place was preferred, whichever it was.
    ``other`` is every other contradiction: a preference in one order and a tie in the other.
    """

    agreed: int = 0
    first: int = 0
    second: int = 0
    other: int = 0

    @property
    def contradicted(self) -> int:
        """Pairs on which the orders disagree; they count as ties."""
        return self.first + self.second + self.other

    @property
    def problem(self) -> str:
        """Why preferences by this criterion are no preferences: most of them follow the place of an answer."""
        if 2 * abs(self.first - self.second) <= self.asked:
            return ""
        place, times = ("first", self.first) if self.first > self.second else ("second", self.second)
        return (
            f"on {times} of {self.asked} pairs the judge prefers the {place} answer, whichever it is; another judge, "
            "or another wording, is needed"
        )

    @property
    def asked(self) -> int:
        """All pairs that have a rating."""
        return self.agreed + self.contradicted


@dataclass(frozen=True)
class JudgeRecord:
    """One run of a judge. ``served`` is what the server says that it runs: its model and system fingerprint.

    ``unusable`` counts pairs without a rating by the reason; ``problems`` says why none of the ratings may be used.
    """

    name: str
    address: str
    prompt: str
    served: tuple[str, ...]
    orders: Mapping[str, Orders]
    unusable: Mapping[str, int]
    told: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def judge_record(fields: Fields) -> JudgeRecord:
    """Read a record back from a file of ratings, where it stands as ``asdict`` gives it."""
    orders = fields.record("orders")
    unusable = fields.record("unusable")
    return JudgeRecord(
        name=fields.text("name"),
        address=fields.text("address"),
        prompt=fields.text("prompt"),
        served=_texts(fields, "served"),
        orders={name: Orders(**_counts(orders.record(name), tuple(asdict(Orders())))) for name in CRITERIA},
        unusable=_counts(unusable, tuple(unusable.values)),
        told=_texts(fields, "told"),
        problems=_texts(fields, "problems"),
    )


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.values.get(key)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DataError(f"{fields.where}: {key} must be a list of texts.")
    return tuple(value)


def _counts(fields: Fields, keys: tuple[str, ...]) -> dict[str, int]:
    counts = {}
    for key in keys:
        value = fields.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise DataError(f"{fields.where}: {key} must be a count of 0 or more.")
        counts[key] = value
    return counts
