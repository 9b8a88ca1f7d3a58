"""Untrusted text made visible: what a model wrote may move the cursor, reorder a line or flood the page."""

from __future__ import annotations

import unicodedata

from harness.records import RowPreview

_RUNS_SHOWN = 16
_RUN_CHARACTERS = 240
_JOINERS = "\u200c\u200d"  # legitimate inside emoji and in Persian and Indic words
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # control, format (bidi, zero width), surrogate, private, line ends


def hidden(character: str) -> bool:
    """Whether a character acts on the display, or lets text look like other text, instead of being seen itself."""
    return character not in _JOINERS and unicodedata.category(character) in _HIDDEN


def escaped(character: str) -> str:
    r"""Return a character as its shortest Python escape, ``\x1b`` or ``\u202e``."""
    return ascii(character)[1:-1]


def visible(text: str, keep: str = "\n") -> str:
    """Return the text with every hidden character written out, except those in ``keep``."""
    if text.isprintable():
        return text
    return "".join(escaped(c) if hidden(c) and c not in keep else c for c in text)


def one_line(text: str) -> str:
    """Return the visible text with its line ends and runs of blanks made single blanks: for names and sentences."""
    return visible(" ".join(text.split()))


def crop(text: str, limit: int, lines: int) -> str:
    """Return the visible text, cut after ``limit`` characters or ``lines`` lines, saying how much is left out."""
    shown = "\n".join(text[:limit].split("\n")[:lines])
    left_out = len(text) - len(shown)
    return visible(shown) + (f" … {left_out:,} more characters" if left_out else "")


def crop_middle(text: str, limit: int) -> str:
    """Return the visible text with its middle left out beyond ``limit``: both of its ends are what matters."""
    left_out = len(text) - limit
    if left_out <= 0:
        return visible(text)
    head, tail = text[: limit // 2], text[-(limit // 2) :]
    return f"{visible(head)} … {left_out:,} more characters … {visible(tail)}"


def supervised_runs(preview: RowPreview) -> list[tuple[str, bool]]:
    """Return a row's runs, cropped, line ends shown as ``↵``, the supervised ones between ``⟦`` and ``⟧``."""
    runs = [(_run(text, supervised), supervised) for text, supervised in preview.runs[:_RUNS_SHOWN]]
    left_out = len(preview.runs) - _RUNS_SHOWN
    return [*runs, (f" … {left_out:,} more runs", False)] if left_out > 0 else runs


def _run(text: str, supervised: bool) -> str:
    shown = crop_middle(text, _RUN_CHARACTERS).replace("\n", "↵\n")
    for bracket in "⟦⟧":  # the row's own ones would read as ours
        shown = shown.replace(bracket, escaped(bracket))
    return f"⟦{shown}⟧" if supervised else shown
