"""Where a measurement was made, and whether another machine's number may stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXACT = "float32"
"""In this precision, machines differ by about 1e-6, which ``pairing.NOISE`` takes for equal."""


def drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What has changed between two environments so that a difference of scores may be the machine's, in a clause.

    Another precision moves scores by itself (a model in bfloat16 flips a few answers in a hundred); so does another
    kind of device where the precision is low. Library versions are no such change: that an upgrade costs quality is
    what a baseline is there to tell. What one of the two does not say is not compared.
    """
    was, is_now = _text(before, "dtype"), _text(now, "dtype")
    if was and is_now and was != is_now:
        return f"dtype {was} -> {is_now}; run with --dtype {was}, or record the baseline again"
    kind_was, kind_now = (_text(each, "device").partition(":")[0] for each in (before, now))
    if kind_was and kind_now and kind_was != kind_now and was != EXACT:
        return (
            f"device {kind_was} -> {kind_now} in {was}; run with --dtype {EXACT} on both, or record the baseline again"
        )
    return ""


def _text(environment: Mapping[str, Any], key: str) -> str:
    return str(environment.get(key) or "")
