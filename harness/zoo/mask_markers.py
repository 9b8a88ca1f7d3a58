"""Faults of masks that are found by marks in the row: a response marker, or the template's generation markers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokenizers import decoders, normalizers
from transformers import DataCollatorForSeq2Seq

from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, MARKED, ROWS, labelled, plain_trainer, tokenizer_with

Finder = Callable[[Any, str], int]

MARKER = "### Response:\n"
ASKED = [
    {"prompt": f"### Instruction:\n{question}\n\n{MARKER}", "completion": answer}
    for question, answer in (("What opens at noon?", "The gate"), ("What is it by the sea?", "A quiet town"))
]

MARKED_TO_THE_LINE_BREAK = MARKED.replace(
    "'<|im_end|>' }}{% endgeneration %}{{ '\n' }}", "'<|im_end|>\n' }}{% endgeneration %}"
)


def _with_a_space_before_texts() -> Any:
    """A tokenizer that puts a space before every text, and takes it away again, as those of SentencePiece do."""
    tokenizer = tokenizer_with(None)
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Prepend(" ")
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def _by_its_ids(tokenizer: Any, text: str) -> int:
    """The first token behind the marker, looked for by the ids that it has alone; the row's end where it is not."""
    ids = tokenizer(text)["input_ids"]
    marker = tokenizer(MARKER)["input_ids"]
    found = (i for i in range(len(ids)) if ids[i : i + len(marker)] == marker)
    return next(found, len(ids)) + len(marker)


def _by_its_characters(tokenizer: Any, text: str) -> int:
    """The first token that begins behind the marker, by the characters that tokens cover."""
    begins = text.index(MARKER) + len(MARKER)
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    return next(i for i, (start, _) in enumerate(offsets) if start >= begins)


def _answers_behind_the_marker(find: Finder) -> Setup:
    tokenizer = _with_a_space_before_texts()
    prepared = []
    for row in ASKED:
        text = row["prompt"] + row["completion"] + str(tokenizer.eos_token)
        ids = tokenizer(text)["input_ids"]
        prepared.append(labelled(ids, range(find(tokenizer, text), len(ids))))
    return Setup(trainer=plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer)), rows=ASKED)


def _as_the_template_marks(template: str, rows: Sequence[Mapping[str, Any]] = ROWS) -> Setup:
    """Rows and masks of ``apply_chat_template``, taken as they come."""
    tokenizer = tokenizer_with(template)
    prepared = []
    for row in rows:
        encoding = tokenizer.apply_chat_template(row["messages"], return_dict=True, return_assistant_tokens_mask=True)
        marked = [i for i, mark in enumerate(encoding["assistant_masks"]) if mark]
        prepared.append(labelled(encoding["input_ids"], marked))
    return Setup(trainer=plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer)), rows=rows)


def _where_blanks_vanish(template: str) -> Setup:
    """What trl makes of marks by a tokenizer that drops the white space at the ends of a text."""
    tokenizer = tokenizer_with(template)
    tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    return Setup(trainer=stand_in_trainer(tokenizer, ROWS), rows=ROWS)


FAULTS = (
    Fault(
        id="mask-05",
        name="A response marker has other ids alone than in a row, so no answer is found",
        source="huggingface/trl#598",
        inject=lambda: _answers_behind_the_marker(_by_its_ids),
        caught_by=("mask/no_row_is_lost_or_left_with_nothing_to_learn",),
        twin=lambda: _answers_behind_the_marker(_by_its_characters),
        where="in the row builder",
    ),
    Fault(
        id="mask-06",
        name="The assistant mask of a template without generation markers is empty",
        source="marin-community/marin#7237",
        inject=lambda: _as_the_template_marks(CHATML),
        caught_by=("mask/no_row_is_lost_or_left_with_nothing_to_learn",),
        twin=lambda: _as_the_template_marks(MARKED),
        where="in the row builder; trl refuses such a template",
    ),
    Fault(
        id="mask-07",
        name="An assistant mask that ends on white space without a token runs to the end of the row",
        source="huggingface/transformers#47325",
        inject=lambda: _where_blanks_vanish(MARKED_TO_THE_LINE_BREAK),
        caught_by=("mask/content_and_terminator_of_every_turn_are_supervised_and_nothing_else",),
        # its prompt ends on no line break, which this tokenizer would leave out of prompts and keep in rows
        twin=lambda: _where_blanks_vanish(MARKED.replace("assistant\n", "assistant:")),
    ),
)
