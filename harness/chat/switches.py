"""The variables of a template beside its messages, told apart by what they do and not by their names."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import meta, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.chat.abilities import TOOL
from harness.chat.attempt import attempt
from harness.chat.frame import sentinel, sentinel_messages
from harness.chat.template import without_clock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Effect = Literal[
    "written as text", "changes the text when True", "changes the text when False", "a switch", "none seen"
]
"""What a variable does: its value is written; True, False or either of them changes what is written; nothing seen."""

GENERATION_TAG = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
GIVEN = {"messages", "tools", "documents", "add_generation_prompt", "raise_exception", "strftime_now"}
"""What ``apply_chat_template`` brings of its own accord, beside the special tokens."""


def template_variables(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """The names that a caller may give to the template beside messages and tools."""
    return _undeclared(str(tokenizer.get_chat_template())) - GIVEN - set(tokenizer.special_tokens_map)


def effects(tokenizer: PreTrainedTokenizerBase, parts: bool) -> dict[str, Effect]:
    """What each variable of the template does to the text of some conversations, in the order of the names.

    A name that the template also sets, and that does nothing from outside, is a name of its own and no variable.
    """
    names = template_variables(tokenizer)
    if not names:
        return {}
    silent = _written(tokenizer, parts, {})
    own = names & _assigned(str(tokenizer.get_chat_template()))
    if own and _do_nothing(tokenizer, parts, own, silent):
        names -= own
    found = {name: _effect(tokenizer, parts, name, silent) for name in sorted(names)}
    return {name: effect for name, effect in found.items() if effect != "none seen" or name not in own}


def _do_nothing(
    tokenizer: PreTrainedTokenizerBase, parts: bool, names: frozenset[str], silent: list[str | None]
) -> bool:
    """Whether names do nothing all at once: long templates have dozens, which would take time one by one."""
    values = (sentinel(0, "value"), True, False)
    return all(_written(tokenizer, parts, dict.fromkeys(names, value)) == silent for value in values)


def _effect(tokenizer: PreTrainedTokenizerBase, parts: bool, name: str, silent: list[str | None]) -> Effect:
    word = sentinel(0, "value")
    if any(word in text for text in _written(tokenizer, parts, {name: word}) if text):
        return "written as text"
    on, off = (_differs(silent, _written(tokenizer, parts, {name: value})) for value in (True, False))
    if on and off:
        return "a switch"
    if on:
        return "changes the text when True"
    return "changes the text when False" if off else "none seen"


def _differs(silent: list[str | None], written: list[str | None]) -> bool:
    """Whether some text is another; one that is refused with the variable tells nothing."""
    return any(new is not None and new != old for old, new in zip(silent, written, strict=True))


def _written(tokenizer: PreTrainedTokenizerBase, parts: bool, values: Mapping[str, Any]) -> list[str | None]:
    """A prompt, one with a system message and a tool, and two turns with reasoning; None for what is refused."""
    turns = sentinel_messages(["user", "assistant", "user", "assistant"], parts)
    for answer in turns[1::2]:
        answer["reasoning_content"] = sentinel(0, "thought")
    return [
        _text(tokenizer, sentinel_messages(["user"], parts), True, values),
        _text(tokenizer, sentinel_messages(["system", "user"], parts), True, {**values, "tools": [TOOL]}),
        _text(tokenizer, turns, False, values),
    ]


def _text(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], prompt: bool, values: Mapping[str, Any]
) -> str | None:
    return attempt(tokenizer, messages, prompt, **values, **without_clock(tokenizer, values.get("tools")))


@functools.lru_cache(maxsize=64)
def _undeclared(source: str) -> frozenset[str]:
    """Names that a template may get from outside: those that it reads before it has surely set them."""
    tree, given = _parsed(source)
    return frozenset(meta.find_undeclared_variables(tree)) - given


@functools.lru_cache(maxsize=64)
def _assigned(source: str) -> frozenset[str]:
    tree, _ = _parsed(source)
    return frozenset(name.name for name in tree.find_all(nodes.Name) if name.ctx != "load")


def _parsed(source: str) -> tuple[nodes.Template, frozenset[str]]:
    """A template's syntax tree, empty where it is no template, and the names that Jinja brings itself."""
    extensions: list[type[Extension]] = [loopcontrols]
    environment = ImmutableSandboxedEnvironment(extensions=extensions)
    try:
        tree = environment.parse(GENERATION_TAG.sub("", source))
    except TemplateError:
        tree = environment.parse("")
    return tree, frozenset(environment.globals)
