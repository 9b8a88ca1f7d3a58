"""``tokenizer.json`` read by itself, as servers read it, against what transformers makes of the whole folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.chat.control import control_ids, first_difference, plain_ids, token_text
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, sentinel_messages
from harness.chat.probe import ChatProbe
from harness.chat.template import render
from harness.inspection.probe_texts import PROBE_TEXTS, random_text
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NOT_LOADED = (OSError, ValueError, KeyError, ImportError)


def as_its_folder_says(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer as transformers reads this folder now, whatever was done to it since; None where it cannot."""
    from transformers import AutoTokenizer

    try:
        loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except NOT_LOADED:
        return None
    return loaded


def file_is_read_alike(
    tokenizer: PreTrainedTokenizerBase, reader: PreTrainedTokenizerBase | None, habits: ChatProbe, file: Path
) -> list[Finding]:
    """Texts first: where they differ, a conversation differs for the same reason.

    ``reader`` is the folder as transformers reads it, None where it cannot.
    """
    if not file.is_file():
        return []
    raw = _raw(file)  # once for both: with a large vocabulary that takes longer than all comparisons
    findings = _file_encodes_alike(tokenizer, raw)
    if findings or reader is None:
        return findings
    return _file_frames_alike(tokenizer, reader, habits, raw, file)


def _file_encodes_alike(tokenizer: PreTrainedTokenizerBase, raw: Any) -> list[Finding]:
    """Servers read tokenizer.json without transformers: it must give the ids that training saw."""
    if random_text(tokenizer):
        return []
    return [
        _encodes_differently(tokenizer, raw, text, says, ids)
        for text in PROBE_TEXTS
        if (says := _raw_ids(raw, text)) != (ids := plain_ids(tokenizer, text))
    ]


def _file_frames_alike(
    tokenizer: PreTrainedTokenizerBase, reader: PreTrainedTokenizerBase, habits: ChatProbe, raw: Any, file: Path
) -> list[Finding]:
    """A conversation has the same control tokens around the same texts by the file alone as by its folder.

    ``reader`` is the folder as transformers reads it; ``tokenizer`` renders, and may have been changed since it was
    loaded: a token that was added to it in a script is no matter of the folder. Texts are compared as texts: whether
    one that follows a control token begins with a space mark, tokenizers of older models have never agreed on.
    """
    if random_text(reader):
        return []
    roles = SEVERAL_TURNS if habits.continues else ONE_TURN
    text = render(tokenizer, sentinel_messages(roles, habits.parts)) + habits.generation_prompt
    ids = plain_ids(reader, text)
    written = sorted(control_ids(reader).intersection(ids))
    unknown = [i for i in written if raw.token_to_id(str(reader.convert_ids_to_tokens(i))) != i]
    if unknown:
        return [_lacks(reader, raw, unknown, file)]
    says = _outline(_raw_ids(raw, text), written, lambda piece: raw.decode(piece, skip_special_tokens=False))
    has = _outline(ids, written, lambda piece: _untidied(reader, piece))
    if says != has:
        return [_framed_differently(says, has)]
    return list(_flags_differ(reader, raw, written, file))


def _outline(ids: Sequence[int], controls: Sequence[int], decode: Callable[[list[int]], str]) -> list[int | str]:
    """Control tokens as ids, and what stands between them as text without the spaces at its ends."""
    outline: list[int | str] = []
    for is_control, run in itertools.groupby(ids, key=lambda token: token in controls):
        tokens = list(run)
        outline += tokens if is_control else [decode(tokens).strip(" ")]
    return [piece for piece in outline if piece != ""]


def _untidied(reader: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(reader.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _raw(file: Path) -> Any:
    from tokenizers import Tokenizer

    raw = Tokenizer.from_file(str(file))
    raw.no_truncation()
    raw.no_padding()
    return raw


def _raw_ids(raw: Any, text: str) -> list[int]:
    return list(raw.encode(text, add_special_tokens=False).ids)


def _encodes_differently(
    tokenizer: PreTrainedTokenizerBase, raw: Any, text: str, says: list[int], ids: list[int]
) -> Finding:
    at = first_difference(says, ids)
    return Finding(
        "the tokenizer does not encode as its tokenizer.json says",
        f"{text!r}, token {at}",
        f"{raw.decode(says[at : at + 4], skip_special_tokens=False)!r} in {len(says)} tokens, as in the file",
        f"{token_text(tokenizer, ids[at : at + 4])!r} in {len(ids)} tokens, as {type(tokenizer).__name__} "
        "has loaded it",
        _told_by_the_file(tokenizer),
    )


def _told_by_the_file(tokenizer: PreTrainedTokenizerBase) -> str:
    from transformers import PreTrainedTokenizerFast

    if type(tokenizer) is PreTrainedTokenizerFast:
        return (
            "take out of tokenizer_config.json what changes the tokenizer as it is loaded, or save the tokenizer again"
        )
    return (
        "set tokenizer_class in tokenizer_config.json to PreTrainedTokenizerFast, which reads tokenizer.json as it is"
    )


def _framed_differently(says: list[int | str], has: list[int | str]) -> Finding:
    at = first_difference(says, has)
    return Finding(
        "a conversation has other control tokens or texts by tokenizer.json alone than by its folder",
        f"a rendered conversation, piece {at} of control tokens and the texts between them",
        f"{says[at : at + 2]}, as in the file",
        f"{has[at : at + 2]}, as transformers reads the folder",
        "compare lstrip, rstrip, normalized and single_word of the control token in tokenizer.json and in "
        "tokenizer_config.json, or save the tokenizer again",
    )


def _lacks(reader: PreTrainedTokenizerBase, raw: Any, unknown: list[int], file: Path) -> Finding:
    texts = [token_text(reader, i) for i in unknown]
    return Finding(
        f"tokenizer.json lacks the control token {texts[0]!r}, which another file of its folder adds",
        file.name,
        ", ".join(f"{text!r} as one token, id {i}" for text, i in zip(texts, unknown, strict=True)),
        "; ".join(f"{text!r} in {len(_raw_ids(raw, text))} tokens" for text in texts)
        + " for whoever reads tokenizer.json alone",
        "load the folder with transformers, call save_pretrained on the tokenizer, and see that the new "
        "tokenizer.json lists the token under added_tokens",
    )


def _flags_differ(reader: PreTrainedTokenizerBase, raw: Any, written: list[int], file: Path) -> Iterator[Finding]:
    """A token that one reader leaves out of an answer's text and the other writes into it."""
    for token_id in written:
        text = token_text(reader, token_id)
        by_file = raw.decode([token_id], skip_special_tokens=True)
        by_transformers = str(reader.decode([token_id], skip_special_tokens=True))
        if (text.strip() in by_file) != (text.strip() in by_transformers):
            yield Finding(
                f"the control token {text!r} is special to one reader of the tokenizer's files and text to another",
                f"{file.name}, added_tokens, id {token_id}",
                f"the same text of an answer decoded with skip_special_tokens=True; transformers gives "
                f"{by_transformers!r}",
                f"{by_file!r} for whoever reads tokenizer.json alone",
                'let "special" of the token say the same in tokenizer.json and in tokenizer_config.json',
            )
