"""What can be asked of a store, and the two that need no disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Answers(Protocol):
    """Somewhere to keep answers, or not."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the answers that are kept."""
        ...

    def add(self, rows: Mapping[bytes, bytes]) -> None:
        """Keep answers; once this returns, they outlive the process where the store does at all."""
        ...


@dataclass
class Memory:
    """Keeps answers as long as it lives: for a model whose weights have no digest, or change."""

    rows: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the answers that are kept."""
        return {key: self.rows[key] for key in keys if key in self.rows}

    def add(self, rows: Mapping[bytes, bytes]) -> None:
        """Keep answers."""
        self.rows.update(rows)


class Nothing:
    """Keeps no answer: for checks that ask the same thing twice, and compare."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:  # noqa: ARG002 - as Answers has it
        """Return none."""
        return {}

    def add(self, rows: Mapping[bytes, bytes]) -> None:
        """Forget them."""
