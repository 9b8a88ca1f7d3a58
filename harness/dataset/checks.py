"""Every check of training rows as text, by the name of the case that makes it in the suites."""

from __future__ import annotations

from collections.abc import Callable

from harness.dataset import answers, cut_off, encoding, formats, leaks
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.findings import Note
from harness.records import Finding

ROWS: dict[str, Callable[[RowsAndSamples, Note], list[Finding]]] = {
    "data/no_evaluation_sample_is_trained_on": leaks.no_evaluation_sample_is_trained_on,
    "data/no_answer_is_empty": answers.no_answer_is_empty,
    "data/answers_do_not_repeat_their_prompts": answers.answers_do_not_repeat_their_prompts,
    "data/answers_are_not_cut_off": cut_off.answers_are_not_cut_off,
    "data/answers_in_one_format_are_whole": formats.answers_in_one_format_are_whole,
    "data/text_is_decoded_as_it_was_written": encoding.text_is_decoded_as_it_was_written,
}
"""Of the rows alone and beside the evaluation samples; no model is needed."""
