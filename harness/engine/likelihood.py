"""Log-likelihoods: what rows share is computed once, and the vocabulary head runs only where a token is scored.

How much rows may share is found out by trying: before a kind of sharing is relied on, or reaches further than it ever
did, one row is computed in that way and its paths alone. Where the logits differ, the model shares less from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from harness.engine.batches import Budget, Track, is_out_of_memory
from harness.engine.layout import Layout, inputs, layout
from harness.engine.packing import Reading, Row, Step, plan, steps
from harness.engine.precision import divergence, floor
from harness.engine.prefix_tree import paths_of
from harness.engine.products import fast_products
from harness.engine.sharing import CANNOT, Sharing, Way
from harness.engine.tokens import Scored, Scores
from harness.engine.virtual_tokens import Opened, opened

COMPARED = 32
"""Positions of a path that a trial compares: its last ones, which are farthest from what was shared."""


@dataclass(frozen=True)
class _Ask:
    """The probability of ``target`` at a flat column of a batch is that of a row's token at ``position``."""

    column: int
    target: int
    row: Scored
    position: int


class _PlannedAnewError(Exception):
    """The plan does not serve: the model shares less than it assumed, or memory holds less."""


def scored(
    module: Any, rows: Sequence[Scored], *, pad_id: int, budget: Budget, sharing: Sharing, track: Track
) -> Iterator[dict[Scored, Scores]]:
    """Yield the scores of rows as they are finished, each row once.

    ``budget`` and ``sharing`` keep what is learned of memory and model. Raises ModelError where memory does not hold a
    single row.
    """
    waiting = dict.fromkeys(rows)
    while waiting:
        work = _Work(module, list(waiting), pad_id, budget, sharing)
        try:
            for done in work.finished(track):
                for row in done:
                    del waiting[row]
                yield done
        except _PlannedAnewError:
            continue


class _Work:
    """Rows on their way through the model, by one plan."""

    def __init__(self, module: Any, rows: Sequence[Scored], pad_id: int, budget: Budget, sharing: Sharing) -> None:
        self.module, self.pad_id, self.budget, self.sharing = module, pad_id, budget, sharing
        # The last id of a row is only a target, so it is never fed.
        self.paths = paths_of([row.ids[:-1] for row in rows])
        place = {path: at for at, path in enumerate(self.paths.ids)}
        self.asking: list[list[Scored]] = [[] for _ in self.paths.ids]
        for row in rows:
            self.asking[place[row.ids[:-1]]].append(row)
        self.found: dict[Scored, dict[int, tuple[float, bool]]] = {row: {} for row in rows}

    def finished(self, track: Track) -> Iterator[dict[Scored, Scores]]:
        """Run the plan; a row is handed out, and forgotten here, as soon as its last token is scored."""
        begun: list[Opened] = []
        for step in track(list(steps(plan(self.paths, self.sharing.way), self.budget)), "scoring"):
            if step.rows:
                del begun[step.depth + 1 :]
                self._try(begun[-1], step)
                asks = self._score(begun[-1], step)
            else:
                del begun[step.depth :]
                start, asks = self._read(begun[-1] if begun else opened(self.module, 1), step.reading)
                begun.append(start)
            if done := self._finished_by(asks):
                yield done

    def _read(self, start: Opened, reading: Reading) -> tuple[Opened, list[_Ask]]:
        """Go on from ``start`` through the tokens of a reading."""
        if reading.stop == reading.start:
            return start, []
        asks = [
            _Ask(position - reading.start, row.ids[position + 1], row, position)
            for path in range(reading.low, reading.high)
            for row, position in self._wishes(path, reading.start, reading.stop)
        ]
        beginning = Row(reading.low, reading.low + 1, reading.stop - reading.start, branches=False)
        rows = [layout(self.paths, beginning, reading.start, reading.stop)]
        try:
            cache = self._answer(start, reading.start, rows, asks, keeps=True)
        except CANNOT as error:
            if is_out_of_memory(error):
                raise
            cache = None
        if cache is None:
            self._share(Way.NOTHING)
        return Opened(start.module, cache, start.length + beginning.size), asks

    def _score(self, start: Opened, step: Step) -> list[_Ask]:
        read, width = step.reading.stop, step.rows[0].size
        laid = [layout(self.paths, row, read) for row in step.rows]
        asks = [
            _Ask(place * width + int(columns[position - read]), row.ids[position + 1], row, position)
            for place, (taken, its) in enumerate(zip(step.rows, laid, strict=True))
            for path, columns in zip(range(taken.low, taken.high), its.columns, strict=True)
            for row, position in self._wishes(path, read, len(self.paths.ids[path]))
        ]
        self._answer(start, read, laid, asks)
        return asks

    def _wishes(self, path: int, begin: int, end: int) -> Iterator[tuple[Scored, int]]:
        """Positions in ``[begin, end)`` of a path at which a row has its next token scored."""
        for row in self.asking[path]:
            last = len(row.ids) - 1
            yield from ((row, position) for position in range(max(begin, last - row.targets), min(end, last)))

    def _answer(
        self, start: Opened, read: int, rows: Sequence[Layout], asks: Sequence[_Ask], *, keeps: bool = False
    ) -> Any:
        """Run a batch, note what was asked of it, and return the cache that it leaves."""
        columns = sorted({ask.column for ask in asks})
        place = {column: at for at, column in enumerate(columns)}
        try:
            logits, cache = _forward(start, read, rows, columns, self.pad_id, keeps=keeps)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self.budget.halve(len(rows), start.length + max(len(row.ids) for row in rows))
            raise _PlannedAnewError from None
        if asks:
            at = torch.tensor([place[ask.column] for ask in asks], device=logits.device)
            targets = torch.tensor([ask.target for ask in asks], device=logits.device)
            likely = (logits[at, targets] - logits.logsumexp(-1)[at]).tolist()
            greedy = (logits.argmax(-1)[at] == targets).tolist()
            for ask, *score in zip(asks, likely, greedy, strict=True):
                self.found[ask.row][ask.position] = (score[0], score[1])
        return cache

    def _finished_by(self, asks: Sequence[_Ask]) -> dict[Scored, Scores]:
        touched = dict.fromkeys(ask.row for ask in asks)
        whole = [row for row in touched if len(self.found[row]) == row.targets]
        return {row: [score for _, score in sorted(self.found.pop(row).items())] for row in whole}

    def _try(self, start: Opened, step: Step) -> None:
        """See that rows which share give the logits of their paths alone, where that is not known yet.

        Models look back by so many tokens of a path, or by so many columns of a row, so either may reach too far.
        """
        kind = (step.rows[0].branches, step.reading.stop > 0)
        if not any(kind):
            return
        for row in (max(step.rows, key=self._length), max(step.rows, key=lambda row: row.size)):
            length, columns = self.sharing.tried.get(kind, (0, 0))
            reach = max(length, self._length(row)), max(columns, step.reading.stop + row.size)
            if reach == (length, columns):
                continue
            if not self._is_shared_rightly(start, step.reading.stop, row):
                self._share(Way.BEGINNINGS if row.branches else Way.NOTHING)
            self.sharing.tried[kind] = reach

    def _length(self, row: Row) -> int:
        """How long the longest path of a row is."""
        return max(map(len, self.paths.ids[row.low : row.high]))

    def _share(self, way: Way) -> NoReturn:
        """Share no more than this from now on."""
        self.sharing.way = way
        raise _PlannedAnewError

    def _is_shared_rightly(self, start: Opened, read: int, row: Row) -> bool:
        """Whether the logits of its longest and of its last path are those of these paths alone.

        What a model cannot do it refuses by whatever error its code runs into; full memory is a refusal too.
        """
        laid = layout(self.paths, row, read)
        copies = 1 if start.cache is None else 2  # a cache must also let itself be copied for the rows of a batch
        for path in {max(range(row.low, row.high), key=lambda path: len(self.paths.ids[path])), row.high - 1}:
            alone = Row(path, path + 1, len(self.paths.ids[path]), branches=False)
            columns = laid.columns[path - row.low][-COMPARED:].tolist()
            last = range(alone.size - len(columns), alone.size)
            try:
                expected, _ = _forward(opened(self.module, 1), 0, [layout(self.paths, alone, 0)], last, self.pad_id)
                found, _ = _forward(start, read, [laid] * copies, columns, self.pad_id)
            except CANNOT:
                return False
            if not float(divergence(expected, found).mean()) <= floor(self.module.dtype):
                return False
        return True


@torch.inference_mode()
def _forward(
    start: Opened, read: int, rows: Sequence[Layout], columns: Sequence[int], pad_id: int, *, keeps: bool = False
) -> tuple[torch.Tensor, Any]:
    """Logits of shape (columns, vocabulary) in float32 at flat columns of the padded batch, and the cache after it."""
    cache = start.cache_of(len(rows))
    given = inputs(rows, start.length, read, pad_id, like=start.module)
    with _head_at(start.module, columns), fast_products(start.module):
        out = start.module(**given, past_key_values=cache, use_cache=keeps or cache is not None)
    logits = out.logits.flatten(0, 1)
    if len(logits) != len(columns):  # a head that is no module of its own has run everywhere
        logits = logits[list(columns)]
    return logits.float(), getattr(out, "past_key_values", None) if keeps else None


@contextmanager
def _head_at(module: Any, columns: Sequence[int]) -> Iterator[None]:
    """Let the vocabulary head see these flat columns of its batch only; what follows it works on whatever comes."""
    head = module.get_output_embeddings()

    def select(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *rest = given
        return (hidden.flatten(0, 1)[None, list(columns)], *rest)

    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()
