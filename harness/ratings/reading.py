"""Ratings held against the key of their sheet: whose answers they are about, and whether they may be used at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError
from harness.ratings.filled import Filled, read_filled
from harness.ratings.key import BASE, KEY, TUNED, read_key
from harness.ratings.sheet import Sheet

TOLD_APART = ("weights", "adapter", "template")
"""The digests that name what answered; a tokenizer that is saved again in another file form answers the same."""


@dataclass(frozen=True)
class Rated:
    """One sheet and everybody who has rated it, in the order of their names."""

    sheet: Sheet
    raters: tuple[Filled, ...]

    @property
    def deciding(self) -> tuple[Filled, ...]:
        """Whose ratings the gate uses: people where there are any, so that a judge beside them is itself judged."""
        people = tuple(each for each in self.raters if each.judge is None)
        return people or self.raters

    def open_pairs(self, rater: Filled, criterion: str) -> int:
        """Items that this rater has left open."""
        return sum(
            item.id not in rater.ratings or criterion not in rater.ratings[item.id].choices for item in self.sheet.items
        )


def read_rated(paths: Sequence[Path]) -> Rated:
    """Read the files of all raters of one sheet, each with ``key.json`` beside it.

    Raises DataError where there is no key, an item is not on the sheet, or a rating was given to other answers.
    """
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name the file of each rater in it, as {path / 'ratings-NAME.json'}.")
    sheets = {path: read_key(path.parent / KEY) for path in paths}
    first = paths[0]
    for path, sheet in sheets.items():
        if sheet.digest != sheets[first].digest:
            raise DataError(f"{path}: rates another sheet than {first}; give --ratings files of one sheet together.")
    raters: dict[str, Filled] = {}
    for path, sheet in sheets.items():
        filled = read_filled(path)
        if filled.rater in raters:
            raise DataError(
                f"{path}: is by {filled.rater!r}, as {raters[filled.rater].origin} is; give one file of each rater "
                "(a table takes its rater's name from the file's name)."
            )
        _check_items(filled, sheet)
        raters[filled.rater] = filled
    return Rated(sheets[first], tuple(raters[name] for name in sorted(raters)))


def check_answered_by(sheet: Sheet, tuned: Mapping[str, str], base: Mapping[str, str] | None, origin: str) -> None:
    """See that the rated answers are those of the models of this run, by their digests; a DataError where not."""
    for role, option, now in ((TUNED, "--model", tuned), (BASE, "--base-model", base)):
        then = sheet.models[role]
        if now is None:
            continue
        for part in TOLD_APART:
            if then.get(part) != now.get(part):
                raise DataError(
                    f"{origin}: the ratings are about answers of {then.get('name')!r} with the {part} "
                    f"{then.get(part, 'none')}, and {option} has {now.get(part, 'none')}; let the sheet of this model "
                    "be rated, or name the model that was rated."
                )


def _check_items(filled: Filled, sheet: Sheet) -> None:
    known = {item.id: item for item in sheet.items}
    for rating in filled.ratings.values():
        if rating.item not in known:
            raise DataError(
                f"{rating.where}: item {rating.item[:60]!r} is not on the sheet of the {KEY} beside it; these ratings "
                "are of another sheet, or the row was changed."
            )
        if rating.digest != known[rating.item].digest:
            raise DataError(
                f"{rating.where}: item {rating.item!r} was rated with other answers (digest {rating.digest[:20]!r}, "
                f"the sheet has {known[rating.item].digest}); give the {KEY} of the sheet that was rated."
            )
