"""Token by token: answers to all prompts of a request, each given out as soon as it has ended.

Rows that have ended leave and prompts that wait enter, the longest first, so that a memory that is too small shows at
once. Only the arguments decide what is answered: sampling, penalties and minimum lengths of the checkpoint's generation
config do not, and neither does who else is in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from harness.engine.batches import Budget, is_out_of_memory
from harness.engine.entering import Entering
from harness.engine.rows import Rows, Text, WholeBatches
from harness.engine.sharing import Sharing
from harness.engine.trial import token_bytes_in_slots
from harness.errors import InvalidRunError

Choose = Callable[[torch.Tensor, Sequence[int], Sequence[int]], list[int]]
"""From logits (rows, vocabulary), the numbers of these answers, and how many tokens each has so far: their next ids."""

MOST = {"cpu": 64, "cuda": 256}
"""Rows that go on together. On the CPU more of them make no token cheaper; a GPU needs them to be busy."""

HELD = 1 << 30
"""Bytes that keys and values may take on the CPU; on a GPU they may take half of what is free."""


def likeliest(logits: torch.Tensor, numbers: Sequence[int], places: Sequence[int]) -> list[int]:  # noqa: ARG001
    """The most likely token of each row: greedy decoding."""
    newest: list[int] = logits.argmax(-1).tolist()
    return newest


def answers(
    module: Any,
    prompts: Sequence[Sequence[int]],
    *,
    ended: Callable[[Sequence[int]], bool],
    pad_id: int,
    max_new_tokens: int,
    budget: Budget,
    sharing: Sharing,
    choose: Choose = likeliest,
    copies: int = 1,
) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of an answer and its new ids: the shortest that have ``ended``, or ``max_new_tokens`` of them.

    Prompt ``n`` has the answers from ``n * copies`` on. ``budget`` is for what is read in one call; ``sharing`` keeps
    what is learned of the model. Raises InvalidRunError where the model computes NaN, and ModelError where memory does
    not hold one prompt with its answer.
    """
    if prompts:
        yield from _Answers(module, prompts, pad_id, budget, sharing, copies, max_new_tokens).finished(ended, choose)


class _Answers:
    """Answers under way: those of ``standing`` are rows, in this order, those of ``waiting`` still have to enter."""

    def __init__(
        self,
        module: Any,
        prompts: Sequence[Sequence[int]],
        pad_id: int,
        budget: Budget,
        sharing: Sharing,
        copies: int,
        max_new_tokens: int,
    ) -> None:
        self.module, self.pad_id, self.budget, self.sharing = module, pad_id, budget, sharing
        self.prompts = [tuple(prompt) for prompt in prompts for _ in range(copies)]
        self.max_new_tokens = max_new_tokens
        self.ids: dict[int, list[int]] = {number: [] for number in range(len(self.prompts))}
        self.most = MOST.get(module.device.type, MOST["cuda"])
        self._begin()

    def _begin(self) -> None:
        """Put all answers that have not ended into the queue, with what there is of them."""
        self.texts = {
            number: Text(self.prompts[number] + tuple(ids), len(self.prompts[number]) + self.max_new_tokens)
            for number, ids in self.ids.items()
        }
        self.waiting = sorted(self.texts, key=lambda number: (-self.texts[number].reach, number))
        self.entering: list[int] = []
        self.standing: list[int] = []
        self.rows: Rows | None = None

    def finished(self, ended: Callable[[Sequence[int]], bool], choose: Choose) -> Iterator[tuple[int, list[int]]]:
        """See ``answers``."""
        while self.ids:
            newest = self._next_tokens(choose)
            if not newest:
                self._begin_with_fewer()
            for number, token in newest.items():
                self.ids[number].append(token)
                if len(self.ids[number]) == self.max_new_tokens or ended(self.ids[number]):
                    yield number, self.ids.pop(number)

    def _next_tokens(self, choose: Choose) -> dict[int, int]:
        """The next token of the answers that enter now, or of all that stand; of none where memory has run out."""
        try:
            rows = self.rows = self.rows or self._new_rows()
            self._let_go(rows)
            self.entering = self.waiting[: rows.admits([self.texts[number] for number in self.waiting[: self.most]])]
            if numbers := self.entering:
                logits = rows.enter([self.texts[number] for number in numbers])
            else:
                numbers = self.standing
                logits = rows.take([self.ids[number][-1] for number in numbers])
            if logits.isnan().any():
                # argmax would take a NaN for the likeliest token of all, id 0 perhaps: an answer that "stops" at once.
                raise InvalidRunError("the model computes NaN, so its answers mean nothing: look for damaged weights")
            newest = choose(logits, numbers, [len(self.ids[number]) for number in numbers])
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return {}
        found = dict(zip(numbers, newest, strict=True))
        self.standing += self.entering
        del self.waiting[: len(self.entering)]
        self.entering = []
        return found

    def _let_go(self, rows: Rows) -> None:
        staying = [row for row, number in enumerate(self.standing) if number in self.ids]
        if len(staying) < len(self.standing):
            self.standing = [self.standing[row] for row in rows.keep(staying)]

    def _begin_with_fewer(self) -> None:
        """Go on with half as many rows; what there is of an answer is read again, and those that ended are out."""
        rows = max(1, len(self.standing) + len(self.entering))
        if rows == 1:
            self.budget.halve(1, max(text.reach for text in self.texts.values()))
        self.most = rows // 2
        self._begin()

    def _new_rows(self) -> Rows:
        if self.sharing.token_bytes is None:
            self.sharing.token_bytes = token_bytes_in_slots(self.module, max(self.prompts, key=len), self.pad_id)
        if not self.sharing.token_bytes:
            return WholeBatches(self.module, pad_id=self.pad_id, budget=self.budget, most=self.most)
        return Entering(
            self.module,
            [self.texts[number] for number in self.waiting],
            pad_id=self.pad_id,
            budget=self.budget,
            held=_memory_for_rows(self.module.device) // self.sharing.token_bytes,
            most=self.most,
        )


def _memory_for_rows(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else HELD
