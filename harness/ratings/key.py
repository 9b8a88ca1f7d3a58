"""The private record of a sheet: which side is whose, and everything that raters see; never given to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.ratings.documents import Fields, read_document, write_document
from harness.ratings.sheet import Item, Pair, Sheet

KEY = "key.json"
FORMAT = "pytest-sft rating key"

TUNED, BASE = "tuned", "base"


def write_key(sheet: Sheet, path: Path) -> None:
    """Write all of a sheet down, sides included."""
    content = {
        "name": sheet.name,
        "sheet": sheet.digest,
        "limited": sheet.limited,
        "models": {role: dict(known) for role, known in sheet.models.items()},
        "items": [
            {"item": item.id, "left": TUNED if item.tuned_is_left else BASE, **_written(item.pair)}
            for item in sheet.items
        ],
        "same": [_written(pair) for pair in sheet.same],
    }
    write_document(path, FORMAT, content)


def read_key(path: Path) -> Sheet:
    """Read a sheet back; raises DataError where the file is not there, damaged, or was changed by hand."""
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file, and without it nothing says which side is the tuned model's; put "
            f"{KEY}, which was written beside the sheet, into the folder of the ratings."
        )
    fields = read_document(path, FORMAT)
    sheet = Sheet(
        name=fields.text("name"),
        items=tuple(_item(each) for each in fields.records("items")),
        same=tuple(_pair(each) for each in fields.records("same")),
        models={role: fields.record("models").record(role).texts() for role in (TUNED, BASE)},
        limited=fields.flag("limited"),
    )
    if sheet.digest != fields.text("sheet") or len({item.id for item in sheet.items}) != len(sheet.items):
        raise DataError(f"{path}: its items are not those that it was written with; fetch the original file again.")
    return sheet


def _written(pair: Pair) -> Mapping[str, Any]:
    cluster = {"cluster": pair.cluster} if pair.cluster else {}
    return {"sample": pair.sample, "prompt": pair.prompt, TUNED: pair.tuned, BASE: pair.base, **cluster}


def _item(fields: Fields) -> Item:
    left = fields.text("left")
    if left not in (TUNED, BASE):
        raise DataError(f"{fields.where}: left is {left[:60]!r}, and it is {TUNED} or {BASE}.")
    return Item(fields.text("item"), _pair(fields), tuned_is_left=left == TUNED)


def _pair(fields: Fields) -> Pair:
    cluster = fields.text("cluster") if "cluster" in fields.values else ""
    return Pair(fields.text("sample"), fields.text("prompt"), fields.text(TUNED), fields.text(BASE), cluster)
