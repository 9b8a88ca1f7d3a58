"""The report in its formats. The terminal's is ``harness.report.terminal``; here are those that go to a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from harness.errors import UsageError
from harness.records import Report
from harness.report.document import to_json
from harness.report.markdown import to_markdown

FORMATS: dict[str, Callable[[Report], str]] = {".json": to_json, ".md": to_markdown}
"""A file's suffix and the function that writes such a file's text."""

_LATER = {".html"}


def check_suffix(path: Path) -> None:
    """Raise UsageError where no format has the path's suffix: worth asking before an hour of training."""
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return
    found = f"the suffix {suffix!r}" if suffix else "no suffix"
    if suffix in _LATER:
        found += ", a format that comes in a later release"
    raise UsageError(f"report {path} has {found}; name a file that ends in {' or '.join(FORMATS)}")


def write_report(report: Report, path: Path) -> None:
    """Write the report in the format of the path's suffix, whole or not at all; its folder is made where absent.

    Raises UsageError for an unknown suffix and for a path that cannot be written.
    """
    check_suffix(path)
    text = FORMATS[path.suffix.lower()](report)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_text(text, encoding="utf-8", newline="\n")
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"report {path} cannot be written ({reason}); name a file in a folder you may write"
        ) from error


__all__ = ["FORMATS", "check_suffix", "to_json", "to_markdown", "write_report"]
