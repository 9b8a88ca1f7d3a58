"""A tokenizer saved and loaded again is the same tokenizer, and its file holds no state of an earlier call."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness.chat.control import first_difference, plain_ids, token_text
from harness.chat.frame import ONE_TURN, sentinel_messages
from harness.chat.probe import ChatProbe
from harness.chat.template import encode, template_digest
from harness.inspection.checkpoint import Checkpoint
from harness.inspection.folder_templates import folder_holds_one_template
from harness.inspection.probe_texts import PROBE_TEXTS, random_text
from harness.inspection.tokenizer_file import as_its_folder_says, file_is_read_alike
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")


def saving_keeps_the_tokenizer(saved: Checkpoint) -> list[Finding]:
    """Save it, load it again, and compare template, special ids and encodings."""
    from transformers import AutoTokenizer

    with TemporaryDirectory(prefix="pytest-sft-") as place:
        folder = Path(place)
        saved.tokenizer.save_pretrained(folder)
        return what_reloading_changes(saved.tokenizer, AutoTokenizer.from_pretrained(folder), saved.habits, folder)


def what_reloading_changes(
    tokenizer: PreTrainedTokenizerBase, reloaded: PreTrainedTokenizerBase, habits: ChatProbe, folder: Path
) -> list[Finding]:
    """Compare a tokenizer with what was loaded from the folder that it was saved to, and with the file itself."""
    return [
        *_template_is_kept(tokenizer, reloaded),
        *_special_ids_are_kept(tokenizer, reloaded),
        *encodings_are_kept(tokenizer, reloaded, habits),
        *file_holds_no_call_state(tokenizer, folder / "tokenizer.json"),
        *file_is_read_alike(tokenizer, reloaded, habits, folder / "tokenizer.json"),
    ]


def _template_is_kept(tokenizer: PreTrainedTokenizerBase, reloaded: PreTrainedTokenizerBase) -> list[Finding]:
    before, after = template_digest(tokenizer), template_digest(reloaded)
    if before == after:
        return []
    return [
        Finding(
            "the chat template is not the same after saving and loading",
            "chat_template.jinja",
            f"digest {before}",
            f"digest {after}" if after else "no template",
            "save the tokenizer with the transformers version that loads it, and keep chat_template.jinja beside it",
        )
    ]


def _special_ids_are_kept(tokenizer: PreTrainedTokenizerBase, reloaded: PreTrainedTokenizerBase) -> list[Finding]:
    return [
        Finding(
            f"{name} is not the same after saving and loading",
            "tokenizer_config.json",
            str(getattr(tokenizer, name)),
            str(getattr(reloaded, name)),
            f"set tokenizer.{name.removesuffix('_id')} before saving, and remove stale special_tokens_map.json files",
        )
        for name in SPECIAL
        if getattr(tokenizer, name) != getattr(reloaded, name)
    ]


def encodings_are_kept(
    tokenizer: PreTrainedTokenizerBase, reloaded: PreTrainedTokenizerBase, habits: ChatProbe
) -> list[Finding]:
    """The probe texts and a rendered conversation have the same ids in both; nothing to say of random encodings."""
    if random_text(tokenizer):
        return []
    findings = [
        _differs(tokenizer, text, plain_ids(tokenizer, text), plain_ids(reloaded, text))
        for text in PROBE_TEXTS
        if plain_ids(tokenizer, text) != plain_ids(reloaded, text)
    ]
    if reloaded.chat_template:
        messages = sentinel_messages(ONE_TURN, habits.parts)
        before, after = encode(tokenizer, messages), encode(reloaded, messages)
        if before != after:
            findings.append(_differs(tokenizer, "a rendered conversation", before, after))
    return findings


def _differs(tokenizer: PreTrainedTokenizerBase, text: str, before: list[int], after: list[int]) -> Finding:
    at = first_difference(before, after)
    return Finding(
        "the tokenizer encodes differently after saving and loading",
        f"{text!r}, token {at}",
        f"{token_text(tokenizer, before[at : at + 4])!r} in {len(before)} tokens",
        f"{token_text(tokenizer, after[at : at + 4])!r} in {len(after)} tokens",
        "set tokenizer_class in tokenizer_config.json to a class that reads tokenizer.json as it is "
        "(PreTrainedTokenizerFast)",
    )


def file_holds_no_call_state(tokenizer: PreTrainedTokenizerBase, file: Path) -> list[Finding]:
    """``tokenizer.json`` cuts no text that the model can read, and pads none that is alone; silent without a file.

    A truncation at the model's own length does no harm, and neither does padding to the longest text of a batch.
    """
    if not file.is_file():
        return []
    saved = json.loads(file.read_text(encoding="utf-8"))
    truncation, padding = saved.get("truncation") or {}, saved.get("padding") or {}
    harmful = {
        "truncation": truncation.get("max_length", tokenizer.model_max_length) < tokenizer.model_max_length,
        "padding": padding.get("strategy", "BatchLongest") != "BatchLongest",
    }
    return [
        Finding(
            f"tokenizer.json keeps the {state} of an earlier call",
            f"tokenizer.json, key {state!r}",
            "null",
            json.dumps(saved[state])[:120],
            f"call tokenizer.backend_tokenizer.no_{state}() before saving: servers that read the file would apply it",
        )
        for state, does_harm in harmful.items()
        if does_harm
    ]


def tokenizer_is_what_its_file_says(saved: Checkpoint) -> list[Finding]:
    """The tokenizer encodes as ``tokenizer.json`` in its folder says, and its template is that of every file there.

    A class of transformers may build its own tokenizer from the vocabulary alone; servers read the file.
    """
    folder = saved.folder or Path(str(saved.tokenizer.name_or_path or ""))
    file = folder / "tokenizer.json"
    reader = as_its_folder_says(folder) if file.is_file() else None
    return [
        *file_is_read_alike(saved.tokenizer, reader, saved.habits, file),
        *file_holds_no_call_state(saved.tokenizer, file),
        *folder_holds_one_template(saved, folder),
    ]


def encoding_is_stable(saved: Checkpoint) -> list[Finding]:
    """A text has one encoding, and decoded it encodes to the same ids again: only the normaliser's doing is lost."""
    tokenizer = saved.tokenizer
    unsteady = random_text(tokenizer)
    if unsteady:
        return [
            Finding(
                "encoding is random: a text has other ids from one call to the next",
                f"{unsteady!r}",
                "the same ids every time",
                "different ids (dropout)",
                'set "dropout" of the model in tokenizer.json to null before saving the tokenizer',
            )
        ]
    return [
        finding
        for text in PROBE_TEXTS
        if (finding := _changed_by_decoding(tokenizer, text, plain_ids(tokenizer, text))) is not None
    ]


def _changed_by_decoding(tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int]) -> Finding | None:
    again = plain_ids(tokenizer, token_text(tokenizer, ids))
    if again == ids:
        return None
    at = first_difference(again, ids)
    untidied = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return Finding(
        "decoding changes the text",
        f"{text!r}, token {at}",
        f"{token_text(tokenizer, ids[at : at + 4])!r} after decoding and encoding again",
        f"{token_text(tokenizer, again[at : at + 4])!r}",
        "set clean_up_tokenization_spaces to false in tokenizer_config.json"
        if plain_ids(tokenizer, str(untidied)) == ids
        else "compare the normalizer, the pre-tokenizer (its add_prefix_space) and the decoder in tokenizer.json with "
        "those of the base model",
    )
