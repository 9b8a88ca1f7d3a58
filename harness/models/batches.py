"""How rows are put into batches: by a budget of tokens, the longest first, so that a full memory shows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Track = Callable[[Sequence[Any], str], Iterable[Any]]
"""Something that hands the items on and may show progress while it does."""


def silently(items: Sequence[Any], description: str) -> Iterable[Any]:  # noqa: ARG001 - the signature of Track
    """Hand the items on and show nothing."""
    return items


@dataclass(frozen=True)
class Budget:
    """What fits into one batch: ``tokens`` with padding counted, or exactly ``rows`` where the user says so."""

    tokens: int
    rows: int | None = None

    def holds(self, rows: int, longest: int) -> bool:
        """Tell whether ``rows`` rows of ``longest`` tokens are within the budget."""
        return rows <= self.rows if self.rows else rows * longest <= self.tokens

    def for_copies(self, copies: int) -> Budget:
        """The budget of prompts that are answered ``copies`` times at once."""
        return Budget(self.tokens // copies, max(1, self.rows // copies) if self.rows else None)


def longest_first(lengths: Sequence[int], budget: Budget) -> Iterator[list[int]]:
    """Yield batches of indices that the budget holds (one row at least), by falling length."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if batch and not budget.holds(len(batch) + 1, lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
