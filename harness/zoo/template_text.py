"""Faults on the way from text to tokens and back: control strings in pieces, added spaces, decoders that lose some."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from harness.chat.control import plain_ids
from harness.chat.template import render
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, PROSE, ROWS, checkpoint_of, learned_whole, tokenizer_with, written_out

LINES = (
    "{% for m in messages %}{{ m['role'] | capitalize + ': ' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""Headers in plain words, which are no control strings; the eos token ends an answer."""

SPACE = "▁"


@functools.cache
def _with_a_space_before_all() -> str:
    """A tokenizer that begins every piece of text with a space, as those of SentencePiece do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    tokenizer.train_from_iterator([PROSE], trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    vocabulary = [*(f"<0x{byte:02X}>" for byte in range(256)), *sorted(trained["vocab"], key=trained["vocab"].get)]
    tokenizer.model = models.BPE(
        vocab={token: number for number, token in enumerate(vocabulary)},
        merges=[tuple(pair) for pair in trained["merges"]],
        byte_fallback=True,
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return str(tokenizer.to_str())


def _spaced() -> Any:
    ends = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_with_a_space_before_all()), **ends)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    return tokenizer


def _piece_by_piece(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    pieces = [piece for m in messages for piece in (f"<|im_start|>{m['role']}\n", m["content"], "<|im_end|>\n")]
    return [token for piece in pieces for token in plain_ids(tokenizer, piece)]


def _from_pieces() -> Setup:
    tokenizer = _spaced()
    rows = [_piece_by_piece(tokenizer, row["messages"]) for row in ROWS]
    return Setup(tokenizer=tokenizer, trainer=learned_whole(tokenizer, rows), rows=ROWS)


def _from_whole_texts() -> Setup:
    tokenizer = _spaced()
    texts = [render(tokenizer, row["messages"]) for row in ROWS]
    return Setup(
        tokenizer=tokenizer,
        checkpoint=checkpoint_of(tokenizer),
        trainer=written_out(tokenizer, texts),
        rows=ROWS,
    )


def _that_tidies_up() -> Setup:
    """A decoder that takes the spaces before punctuation for a slip of the tokenizer."""
    tokenizer = tokenizer_with(CHATML)
    tidy = [decoders.Replace(f" {mark}", mark) for mark in (".", ",", "?", "!", "'s", "n't")]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), *tidy])
    return Setup(checkpoint=checkpoint_of(tokenizer))


def _that_normalises() -> Setup:
    """A normaliser writes some letters in another way; once written so, they stay as they are."""
    tokenizer = tokenizer_with(CHATML)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    return Setup(checkpoint=checkpoint_of(tokenizer))


FAULTS = (
    Fault(
        id="template-14",
        name="The template's control strings are no tokens of the vocabulary",
        source="foundation-model-stack/fms-hf-tuning#470",
        inject=lambda: Setup(tokenizer=tokenizer_with(CHATML, special=())),
        caught_by=("template/every_control_string_is_one_token",),
        twin=lambda: Setup(tokenizer=tokenizer_with(LINES, special=())),
    ),
    Fault(
        id="template-16",
        name="Rows are put together from pieces, each of which the tokenizer begins with a space",
        source="huggingface/transformers#31513",
        inject=_from_pieces,
        caught_by=("mask/rows_are_what_the_template_renders",),
        twin=_from_whole_texts,
        where="in the row builder",
    ),
    Fault(
        id="template-30",
        name="Decoding takes away the spaces before punctuation",
        source="huggingface/transformers#35175",
        inject=_that_tidies_up,
        caught_by=("template/decoded_text_encodes_to_the_same_ids",),
        twin=_that_normalises,
        where="in the decoder of tokenizer.json",
    ),
)
