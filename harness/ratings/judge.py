"""A judge model rates a sheet: every pair in both orders, and only what it says in both is a preference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import InvalidRunError, UsageError
from harness.journal import Journal, opened_journal
from harness.once import unfinished_of
from harness.provenance import object_digest
from harness.ratings.anchors import LEAST, Anchor, Shift, anchor_of, shifts, write_anchors
from harness.ratings.asking import PROMPT_DIGEST, Contest, choices_in, messages_for
from harness.ratings.documents import write_document
from harness.ratings.filled import RATINGS
from harness.ratings.judged import JudgeRecord
from harness.ratings.orders import Opinion, Reply, opinion, orders_of
from harness.ratings.rubric import CRITERIA
from harness.ratings.server import NoReply, Server
from harness.ratings.sheet import Sheet

GIVE_UP = 3
"""Pairs one after another that the server itself leaves without a reply: then it is down, and waiting does not help."""

Replies = Mapping[str, Sequence[Reply]]
"""By the id of a pair, what was said in both orders."""

Track = Callable[[Sequence[Contest]], Iterable[Contest]]


@dataclass(frozen=True)
class Wanted:
    """What to rate, where the ratings go, and the anchors to ask again (none: nothing is known of a drift)."""

    sheet: Sheet
    output: Path
    anchors: tuple[Anchor, ...] = ()
    record_anchors: Path | None = None

    def __post_init__(self) -> None:
        for path in (self.output, self.record_anchors):
            if path is not None and path.exists():
                raise UsageError(f"{path}: is there already, and is not overwritten; name another file.")
        if self.record_anchors is not None and len(self.sheet.items) < LEAST:
            raise UsageError(
                f"{self.record_anchors}: the sheet holds {len(self.sheet.items)} pairs, and fewer than {LEAST} anchors "
                "could not show that a judge has changed; record them on a larger sheet."
            )


def judge_sheet(wanted: Wanted, server: Server, track: Track) -> JudgeRecord:
    """Ask about every anchor and every item, write the ratings, and return what is known of the judge.

    An interrupted run of the same goes on with the answers that it has. Raises InvalidRunError where the server stays
    away; what was answered until then is kept.
    """
    sheet = wanted.sheet
    with opened_journal(unfinished_of(wanted.output), _inputs(wanted, server)) as journal:
        anchored = _asked(server, journal, "anchor", [anchor.contest for anchor in wanted.anchors], track)
        contests = [Contest(item.id, item.pair.prompt, item.left, item.right) for item in sheet.items]
        replies = _asked(server, journal, "item", contests, track)
        opinions = {name: opinion(pair) for name, pair in replies.items()}
        record = _record(server, replies, _drift(wanted.anchors, anchored))
        if wanted.record_anchors is not None:
            usable = [(item, opinions[item.id]) for item in sheet.items if not opinions[item.id].unusable]
            anchors = [anchor_of(item, said.choices) for item, said in usable]
            write_anchors(wanted.record_anchors, record.name, anchors)
        _write(wanted, opinions, record)
        journal.finished = True
    return record


def _inputs(wanted: Wanted, server: Server) -> dict[str, Any]:
    """Everything that decides what is answered: another of these is another run, whose answers are not mixed in."""
    return {
        "judge": server.address.model,
        "address": str(server.address),
        "prompt": PROMPT_DIGEST,
        "sheet": wanted.sheet.digest,
        "anchors": object_digest([asdict(anchor) for anchor in wanted.anchors]),
    }


def _asked(server: Server, journal: Journal, kind: str, contests: Sequence[Contest], track: Track) -> Replies:
    """The replies to all contests, by id; each pair is on the disk before the next one is asked.

    What the server itself failed at is not kept for a later attempt, which may find it well again.
    """
    failed: dict[str, list[Reply]] = {}
    silent = 0
    for contest in track([each for each in contests if f"{kind} {each.id}" not in journal.answers]):
        pair, by_server = _both_orders(server, contest)
        silent = silent + 1 if by_server else 0
        if silent == GIVE_UP:
            raise InvalidRunError(
                f"{server.address} left {GIVE_UP} pairs in a row without a reply ({pair[-1]['unusable']}); "
                f"{len(journal.answers)} pairs are kept, and the same command goes on from there."
            )
        if by_server:
            failed[contest.id] = pair
        else:
            journal.add({f"{kind} {contest.id}": pair})
    return {each.id: failed.get(each.id) or journal.answers[f"{kind} {each.id}"] for each in contests}


def _both_orders(server: Server, contest: Contest) -> tuple[list[Reply], bool]:
    """The replies in both orders as they are kept, and whether the server itself failed."""
    pair: list[Reply] = []
    for ordered in (contest, contest.mirrored):
        reply = server.ask(messages_for(ordered))
        if isinstance(reply, NoReply):
            return [*pair, {"unusable": reply.reason}], reply.by_server
        said = choices_in(reply.text)
        if said is None:
            cut = " (it was cut off)" if reply.finish == "length" else ""
            return [*pair, {"unusable": f"the reply is not in the form that was asked for{cut}"}], False
        pair.append({**said, "served": reply.served})
    return pair, False


def _drift(anchors: Sequence[Anchor], replies: Replies) -> tuple[list[Shift], str]:
    """How the anchors have moved, and why the judge is not to be believed; empty where it is."""
    again = {name: opinion(pair) for name, pair in replies.items()}
    usable = {name: said.choices for name, said in again.items() if not said.unusable}
    moved = shifts(anchors, usable)
    changed = [str(shift) for shift in moved if shift.changed]
    if changed:
        return moved, f"the judge is not what it was when it rated the anchors: {'; '.join(changed)}"
    if anchors and len(usable) < LEAST:
        return moved, f"only {len(usable)} of {len(anchors)} anchors have a usable rating, too few to show a drift"
    return moved, ""


def _record(server: Server, replies: Replies, drift: tuple[list[Shift], str]) -> JudgeRecord:
    opinions = {name: opinion(pair) for name, pair in replies.items()}
    usable = [replies[name] for name, said in opinions.items() if not said.unusable]
    moved, problem = drift
    few = f"only {len(usable)} of {len(replies)} pairs have a usable rating" if 2 * len(usable) < len(replies) else ""
    return JudgeRecord(
        name=server.address.model,
        address=str(server.address),
        prompt=PROMPT_DIGEST,
        served=tuple(sorted({reply["served"] for pair in usable for reply in pair})),
        orders={name: orders_of(usable, name) for name in CRITERIA},
        unusable=dict(Counter(said.unusable for said in opinions.values() if said.unusable)),
        told=tuple(map(str, moved)),
        problems=tuple(filter(None, (problem, few))),
    )


def _write(wanted: Wanted, opinions: Mapping[str, Opinion], record: JudgeRecord) -> None:
    digests = {item.id: item.digest for item in wanted.sheet.items}
    content = {
        "sheet": wanted.sheet.digest,
        "rater": record.name,
        "judge": asdict(record),
        "ratings": [{"item": name, "digest": digests[name], **said.choices} for name, said in opinions.items()],
    }
    write_document(wanted.output, RATINGS, content)
