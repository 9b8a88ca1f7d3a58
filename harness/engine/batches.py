"""How rows are put into batches: by a budget of tokens, the longest first, so that a full memory shows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import ModelError

Track = Callable[[Sequence[Any], str], Iterable[Any]]
"""Something that hands the items on and may show progress while it does."""

Joins = Callable[[int, int, int], bool]
"""Whether a text of a length may join a batch, which then has so many rows of such a width: (rows, width, length)."""


def silently(items: Sequence[Any], description: str) -> Iterable[Any]:  # noqa: ARG001 - the signature of Track
    """Hand the items on and show nothing."""
    return items


@dataclass
class Budget:
    """What fits into one batch: ``tokens`` with padding counted, or exactly ``rows`` where the user says so.

    It is halved for good where memory runs out; copies of a model share it.
    """

    tokens: int
    rows: int | None = None

    def holds(self, rows: int, longest: int) -> bool:
        """Tell whether ``rows`` rows of ``longest`` tokens are within the budget."""
        return rows <= self.rows if self.rows else rows * longest <= self.tokens

    def halve(self, rows: int, longest: int) -> None:
        """Allow half of a batch that memory was too small for; raises ModelError where that was a single row."""
        if rows == 1:
            raise ModelError(
                f"memory does not hold the model and one text of {longest} tokens; take a device with more, a smaller "
                "--dtype, or shorter texts."
            )
        # What rows have in a cache counts in their length but not in the budget, which must not rise for that.
        self.tokens = min(self.tokens // 2, rows // 2 * longest)
        self.rows = rows // 2 if self.rows else None


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch could not allocate what it needed; on the CPU that is told by the message alone."""
    import torch  # collecting the suites imports this file, and should not wait for torch

    return isinstance(error, RuntimeError) and (
        isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
    )


def always(rows: int, width: int, length: int) -> bool:  # noqa: ARG001 - the signature of Joins
    """Let any text join whose batch the budget holds."""
    return True


def longest_first(lengths: Sequence[int], budget: Budget, joins: Joins = always) -> Iterator[list[int]]:
    """Yield batches of indices that the budget holds (one row at least), by falling length."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        rows, width = len(batch) + 1, lengths[batch[0]] if batch else 0
        if batch and not (budget.holds(rows, width) and joins(rows, width, lengths[index])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
