"""Scores by sample id, held as columns: a run has millions of them, and an object each would be most of its memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SampleScore:
    """The score of one sample: one number, or the segment statistics of a corpus metric (BLEU: 10 counts)."""

    values: tuple[float, ...]
    digest: str
    cluster: str = ""


class Scores(Mapping[str, SampleScore]):
    """A mapping from sample id to ``SampleScore`` in the order of the ids, which are looked up by bisection.

    ``ids``, ``digests`` and ``clusters`` have one text a sample. ``numbers`` are the values of all samples one after
    the other; ``ends`` says behind which of them each sample's are over: in a broken measurement some have more.
    """

    __slots__ = ("clusters", "digests", "ends", "ids", "numbers")

    def __init__(self, scores: Mapping[str, SampleScore]) -> None:
        self.ids = tuple(sorted(scores))
        self.numbers, self.ends = array("d"), array("q")
        digests, clusters = [], []
        for each in self.ids:
            score = scores[each]
            self.numbers.extend(score.values)
            self.ends.append(len(self.numbers))
            digests.append(score.digest)
            clusters.append(score.cluster)
        self.digests, self.clusters = tuple(digests), tuple(clusters)

    def __getitem__(self, sample: str) -> SampleScore:
        row = bisect_left(self.ids, sample)
        if row == len(self.ids) or self.ids[row] != sample:
            raise KeyError(sample)
        return self._score(row)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Scores({dict(self)!r})"

    def _score(self, row: int) -> SampleScore:
        begin = self.ends[row - 1] if row else 0
        return SampleScore(tuple(self.numbers[begin : self.ends[row]]), self.digests[row], self.clusters[row])
