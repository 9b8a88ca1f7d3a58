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
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE_TEXTS = (
    "The year 2023 saw 650841823 visitors; don't ask why.",
    "it 's , ok . n't",
    "def f(x):\n\tif x > 0:\n        return {'a': [1, 2.5e-3]}\n\n\n",
    "今天天气很好，我们去公园吧。",
    "naïve café, Zoë — “quoted” … €5",
    "🙂👩‍👩‍👧 ok",
    "two  spaces,   three",
)
"""Texts on which tokenizers are known to differ: digits, clitics, code, Chinese, accents, emoji, runs of spaces."""

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
        *_file_encodes_alike(tokenizer, folder / "tokenizer.json"),
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
    """The probe texts and a rendered conversation have the same ids in both."""
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
    """The tokenizer encodes as ``tokenizer.json`` in its folder says; nothing to say where there is no such file.

    A class of transformers may build its own tokenizer from the vocabulary alone; servers read the file.
    """
    file = (saved.folder or Path(str(saved.tokenizer.name_or_path or ""))) / "tokenizer.json"
    return [*_file_encodes_alike(saved.tokenizer, file), *file_holds_no_call_state(saved.tokenizer, file)]


def _file_encodes_alike(tokenizer: PreTrainedTokenizerBase, file: Path) -> list[Finding]:
    """Servers read tokenizer.json without transformers: it must give the ids that training saw."""
    if not file.is_file():
        return []
    from tokenizers import Tokenizer

    raw = Tokenizer.from_file(str(file))
    raw.no_truncation()
    raw.no_padding()
    findings = []
    for text in PROBE_TEXTS:
        says, ids = raw.encode(text, add_special_tokens=False).ids, plain_ids(tokenizer, text)
        if ids != says:
            at = first_difference(says, ids)
            stated = raw.decode(says[at : at + 4], skip_special_tokens=False)
            findings.append(
                Finding(
                    "the tokenizer does not encode as its tokenizer.json says",
                    f"{text!r}, token {at}",
                    f"{stated!r} in {len(says)} tokens, as in the file",
                    f"{token_text(tokenizer, ids[at : at + 4])!r} in {len(ids)} tokens, as {type(tokenizer).__name__} "
                    "has loaded it",
                    "set tokenizer_class in tokenizer_config.json to PreTrainedTokenizerFast, which reads "
                    "tokenizer.json as it is",
                )
            )
    return findings


def encoding_is_stable(saved: Checkpoint) -> list[Finding]:
    """Text that was decoded encodes to the same ids again, so nothing but the normaliser's doing is lost."""
    tokenizer = saved.tokenizer
    findings = []
    for text in PROBE_TEXTS:
        ids = plain_ids(tokenizer, text)
        decoded = token_text(tokenizer, ids)
        again = plain_ids(tokenizer, decoded)
        if again != ids:
            at = first_difference(again, ids)
            findings.append(
                Finding(
                    "decoding changes the text",
                    f"{text!r}, token {at}",
                    f"{token_text(tokenizer, ids[at : at + 4])!r} after decoding and encoding again",
                    f"{token_text(tokenizer, again[at : at + 4])!r}",
                    "switch clean_up_tokenization_spaces off, and compare tokenizer.json with the base model's",
                )
            )
    return findings
