"""Texts that tell tokenizers apart, and whether a tokenizer gives one text one encoding at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.chat.control import plain_ids

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

TRIES = 4
"""Encodings of each text; a dropout of one merge in fifty shows in them nearly always."""


def random_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """A text that has other ids from one call to the next, as with the dropout of BPE; empty where there is none."""
    for text in (*PROBE_TEXTS, " ".join(PROBE_TEXTS)):
        if len({tuple(plain_ids(tokenizer, text)) for _ in range(TRIES)}) > 1:
            return text
    return ""
