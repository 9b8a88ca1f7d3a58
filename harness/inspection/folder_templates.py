"""The chat templates in a tokenizer's folder: several files can hold one, and who reads which differs."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.chat.frame import message
from harness.chat.template import REFUSALS, SHOWN_ROLES, render, template_digest, without_clock
from harness.errors import ModelError
from harness.inspection.checkpoint import Checkpoint
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OF_PROCESSORS = "chat_template.json"

READERS = {
    "chat_template.jinja": "read first by transformers",
    "tokenizer_config.json": "read by older versions and by engines that know no chat_template.jinja",
    OF_PROCESSORS: "read by older versions for a processor",
}


def folder_holds_one_template(saved: Checkpoint, folder: Path) -> list[Finding]:
    """Every file with a template writes the same; one that was set in a script, and is in no file, is not judged.

    Templates under other names than the default one are there to differ.
    """
    tokenizer = saved.tokenizer
    found, in_use = templates_in(folder), _default(tokenizer.chat_template)
    if len(found) < 2 or in_use not in found.values():
        return []
    digests = {file: _digest(tokenizer, text) for file, text in found.items()}
    used = next(file for file, text in found.items() if text == in_use)
    others = [
        file
        for file, digest in digests.items()
        if digest != digests[used]
        and not (file == OF_PROCESSORS and _same_in_parts(tokenizer, in_use, found[file], saved.habits.parts))
    ]
    if not others:
        return []
    return [
        Finding(
            "the folder holds chat templates that write different conversations",
            f"{folder.name}: {used} and {', '.join(others)}",
            f"the template of {used} in every file, digest {digests[used]} ({READERS[used]})",
            "; ".join(f"{file}: {_named(digests[file])} ({READERS[file]})" for file in others),
            f"keep the template that the model was trained with, and take others out of {', '.join([used, *others])}",
        )
    ]


def templates_in(folder: Path) -> dict[str, str]:
    """The default template of every file that has one, by the file's name, that which transformers reads first."""
    found = {}
    for file in READERS:
        path = folder / file
        if path.is_file():
            template = _stated(path)
            if template:
                found[file] = template
    return found


def _named(digest: str) -> str:
    return f"digest {digest}" if digest else "a template that finds no end"


def _stated(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jinja":
        return text
    try:
        return _default(json.loads(text).get("chat_template"))
    except (ValueError, AttributeError):  # a damaged file holds no template
        return ""


def _default(stated: Any) -> str:
    """One template as configs state it: by itself, under its name, or in a list of names and templates."""
    if isinstance(stated, list):
        stated = {entry.get("name"): entry.get("template") for entry in stated if isinstance(entry, Mapping)}
    if isinstance(stated, Mapping):
        stated = stated.get("default")
    return stated if isinstance(stated, str) else ""


def _with(tokenizer: PreTrainedTokenizerBase, template: str) -> PreTrainedTokenizerBase:
    other = copy.copy(tokenizer)
    other.chat_template = template
    return other


def _digest(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    try:
        return template_digest(_with(tokenizer, template))
    except ModelError:  # it finds no end
        return ""


def _same_in_parts(tokenizer: PreTrainedTokenizerBase, in_use: str, other: str, parts: bool) -> bool:
    """A processor gives contents as typed parts, which its template may take where the tokenizer's takes text."""
    return _written(_with(tokenizer, in_use), parts) == _written(_with(tokenizer, other), parts=True)


def _written(tokenizer: PreTrainedTokenizerBase, parts: bool) -> list[str]:
    texts = []
    for roles in SHOWN_ROLES:
        messages = [message(role, f"The {role} says {number}.", parts) for number, role in enumerate(roles)]
        try:
            texts.append(render(tokenizer, messages, roles[-1] != "assistant", **without_clock(tokenizer)))
        except (*REFUSALS, ModelError):
            texts.append("")
    return texts
