"""Chat formats by name, as Jinja templates that mark the assistant's tokens: for models that have no template yet.

A format ends every answer with a token of the tokenizer: its own control token, or else the eos token. It adds none.
Conversations begin with BOS exactly where the tokenizer puts BOS before plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.chat.control import plain_ids, puts_bos_first
from harness.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Format:
    """A format: the files that make up its template, in order, and the control tokens of its own that it writes.

    ``terminator`` ends an answer; it is one of ``controls``, or empty where the tokenizer's eos token does.
    """

    files: tuple[str, ...]
    controls: tuple[str, ...] = ()
    terminator: str = ""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "alpaca": Format(("alpaca.jinja", "_sections.jinja")),
        "alpaca-zh": Format(("alpaca-zh.jinja", "_sections.jinja")),
        "chatml": Format(("chatml.jinja",), ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
        "llama2": Format(("llama2.jinja",)),
        "llama3": Format(("llama3.jinja",), ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>"),
        "plain": Format(("plain.jinja",)),
    }
)


def load(name: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The template of a named format as this tokenizer needs it, to be its ``chat_template``.

    Raises:
        ModelError: there is no such format, or the tokenizer lacks a token that it writes.

    """
    if name not in FORMATS:
        raise ModelError(f"there is no chat format {name!r}: it is one of {', '.join(FORMATS)}")
    chosen = FORMATS[name]
    _check_tokens(name, chosen, tokenizer)
    begin = "bos_token" if puts_bos_first(tokenizer) else "''"
    files = "".join((FOLDER / file).read_text(encoding="utf-8") for file in ("_only_text.jinja", *chosen.files))
    return f"{{%- set begin = {begin} %}}\n{files}"


def _check_tokens(name: str, chosen: Format, tokenizer: PreTrainedTokenizerBase) -> None:
    added = set(tokenizer.get_added_vocab().values())
    pieces = {control: plain_ids(tokenizer, control) for control in chosen.controls}
    absent = {text: ids for text, ids in pieces.items() if len(ids) != 1 or ids[0] not in added}
    if absent:
        text, ids = next(iter(absent.items()))
        raise ModelError(
            f"the chat format {name!r} writes {', '.join(absent)}, which the tokenizer does not have as control "
            f"tokens, so that the model would learn them as plain characters ({text} as {len(ids)} tokens): take a "
            f"format that needs none ({', '.join(known for known in FORMATS if not FORMATS[known].controls)}), or add "
            "them with tokenizer.add_special_tokens, resize the embeddings and train these too"
        )
    if not chosen.terminator and tokenizer.eos_token is None:
        raise ModelError(
            f"the chat format {name!r} ends answers with the eos token, and the tokenizer "
            f"{tokenizer.name_or_path or '(unnamed)'} has none: set tokenizer.eos_token and save it with the model"
        )
