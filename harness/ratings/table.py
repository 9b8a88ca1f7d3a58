"""A sheet as a table (CSV) for a spreadsheet: a row an item, a column a criterion, to be filled in."""

from __future__ import annotations

import csv
import io

from harness.ratings.rubric import CRITERIA
from harness.ratings.sheet import Sheet

SHOWN = ("item", "digest", "prompt", "left", "right")
COMMENT = "comment"
COLUMNS = (*SHOWN, *CRITERIA, COMMENT)

ACTIVE = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet computes a cell that begins so, and a formula may call other programs."""


def to_csv(sheet: Sheet) -> str:
    """The table, with a byte order mark: without one, spreadsheets read UTF-8 in the encoding of their country."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for item in sheet.items:
        shown = (item.id, item.digest, inactive(item.pair.prompt), inactive(item.left), inactive(item.right))
        writer.writerow([*shown, *[""] * (len(CRITERIA) + 1)])
    return "\ufeff" + out.getvalue()


def inactive(text: str) -> str:
    """The text as a spreadsheet shows it without computing anything: NUL, which it cannot hold, becomes visible."""
    text = text.replace("\0", "\\x00")
    return f"'{text}" if text.lstrip(" \n").startswith(ACTIVE) else text
