"""Which worker of xdist runs what: parts that need a model go to few of them, and the others get the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from harness.plugin.dividing import MODEL, number_of


class Parts(LoadScopeScheduling):  # type: ignore[misc]  # xdist carries no types
    """xdist's own scheduling of cases that belong together, the parts being those that the workers name.

    No more than ``computing`` workers ever get a part that needs a model. They get such parts first, which take
    longest. Where every worker may load one, all parts go in the order of the cases, the cheapest first.
    """

    def __init__(self, config: pytest.Config, log: Any, computing: int, written_to: Path) -> None:
        super().__init__(config, log)
        self.written_to = written_to
        self.part_of: dict[str, str] = {}
        self.assigned_work: dict[Any, dict[str, dict[str, bool]]]
        self.at_most = computing
        self.computing: set[Any] = set()

    def _split_scope(self, nodeid: str) -> str:
        return self.part_of[nodeid]

    def schedule(self) -> None:
        """Begin with gw0; where there are more workers than parts, xdist sends the last ones home."""
        workers = sorted(self.nodes, key=lambda node: number_of(node.gateway.id))
        self.assigned_work = {node: self.assigned_work[node] for node in workers}
        if not self.part_of:
            parts = json.loads((self.written_to / workers[0].gateway.id).read_text(encoding="utf-8"))
            self.part_of = dict(zip(self.registered_collections[workers[0]], parts, strict=True))
        super().schedule()

    def _assign_work_unit(self, node: Any) -> None:
        part = self._next_part(node)
        if part is None:
            node.shutdown()
            return
        if part.startswith(MODEL):
            self.computing.add(node)
        self.workqueue.move_to_end(part, last=False)
        super()._assign_work_unit(node)

    def _next_part(self, node: Any) -> str | None:
        """The part of those that wait that a worker gets next; None where the others will do what is left."""
        waiting = [part for part in dict.fromkeys(map(self._split_scope, self.collection)) if part in self.workqueue]
        if self.at_most >= len(self.nodes):
            return waiting[0]
        may_compute = node in self.computing or len(self.computing) < self.at_most
        model = [part for part in waiting if part.startswith(MODEL)] if may_compute else []
        others = [part for part in waiting if not part.startswith(MODEL)]
        return next(iter(model + others), None)

    def remove_node(self, node: Any) -> str | None:
        """Take a worker away; the case in which it crashed, if it did, is not run a second time."""
        self.computing.discard(node)
        open_cases = ((part, case) for part in self.assigned_work[node].values() for case in part if not part[case])
        crashed = next(open_cases, None)
        if crashed is not None:
            part, case = crashed
            part[case] = True
        super().remove_node(node)
        return None if crashed is None else case
