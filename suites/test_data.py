"""Data: what is in the training rows twice, what the evaluation also asks, and what stands out."""

import pytest

from harness.dataset import answers, cut_off, duplicates, encoding, formats, leaks, unsafe, variety

pytestmark = [pytest.mark.data, pytest.mark.preflight]


def test_no_evaluation_sample_is_trained_on(dataset, no_findings, note):
    no_findings(leaks.no_evaluation_sample_is_trained_on(dataset, note))


def test_no_answer_is_empty(dataset, no_findings, note):
    no_findings(answers.no_answer_is_empty(dataset, note))


def test_answers_do_not_repeat_their_prompts(dataset, no_findings, note):
    no_findings(answers.answers_do_not_repeat_their_prompts(dataset, note))


def test_answers_are_not_cut_off(dataset, no_findings, note):
    no_findings(cut_off.answers_are_not_cut_off(dataset, note))


def test_answers_in_one_format_are_whole(dataset, no_findings, note):
    no_findings(formats.answers_in_one_format_are_whole(dataset, note))


def test_text_is_decoded_as_it_was_written(dataset, no_findings, note):
    no_findings(encoding.text_is_decoded_as_it_was_written(dataset, note))


def test_what_the_rows_hold_twice_is_reported(dataset, note):
    duplicates.tell_duplicates(dataset, note)


def test_what_the_rows_are_like_is_reported(dataset, note):
    variety.tell_variety(dataset, note)
    variety.tell_outliers(dataset, note)


def test_unsafe_words_are_reported(dataset, note):
    unsafe.tell_unsafe_words(dataset, note)
