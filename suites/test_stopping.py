"""Stopping: does the model end its answers, at the token at which generation stops?"""

import pytest

from harness import loop_rate, stop_rate
from harness.inspection import answers, decoding, generation_settings, saving, special_ids, stopping

pytestmark = pytest.mark.stopping


@pytest.fixture
def prompts(samples, answerable):
    return answerable(samples("stopping.jsonl"))


@pytest.mark.preflight
def test_generation_stops_where_the_template_ends_a_turn(saved, no_findings):
    no_findings(stopping.terminator_stops_generation(saved))


@pytest.mark.preflight
def test_nothing_keeps_the_model_from_ending(saved, no_findings):
    no_findings(stopping.nothing_holds_the_terminator_back(saved))


@pytest.mark.preflight
def test_the_generation_settings_are_the_recorded_ones(saved, no_findings):
    no_findings(generation_settings.settings_are_the_recorded_ones(saved))


@pytest.mark.preflight
def test_special_ids_agree_across_the_files(saved, no_findings):
    no_findings(special_ids.special_ids_agree(saved))


@pytest.mark.preflight
def test_saving_keeps_the_stop_ids(trainer, as_trained, no_findings):
    no_findings(saving.saving_keeps_the_stop_ids(trainer, as_trained))


@pytest.mark.preflight
def test_tokens_in_use_can_be_learned(trainer, as_trained, no_findings):
    from harness.inspection import embeddings

    no_findings(embeddings.tokens_in_use_can_be_learned(trainer, as_trained))


@pytest.mark.slow
def test_a_short_overfit_teaches_the_model_to_stop(trainer, as_trained, no_findings, note):
    from harness.inspection import overfit

    no_findings(overfit.a_short_overfit_teaches_to_stop(trainer, as_trained, note))


def test_answers_end_as_often_as_before(model, base_model, prompts, gate):
    gate(stop_rate(model, prompts), against=base_model and stop_rate(base_model, prompts))


def test_most_short_answers_end_before_the_limit(model, prompts, no_findings):
    no_findings(answers.most_answers_end(model, prompts))


def test_few_answers_are_empty(model, prompts, no_findings):
    no_findings(answers.few_answers_are_empty(model, prompts))


def test_no_control_text_leaks_into_answers(model, prompts, no_findings):
    no_findings(answers.answers_leak_no_control_text(model, prompts))


def test_answers_are_what_their_ids_say(model, prompts, no_findings):
    no_findings(answers.answers_are_what_their_ids_say(model, prompts))


def test_an_answer_does_not_depend_on_its_batch(model, prompts, no_findings):
    no_findings(answers.answers_do_not_depend_on_their_batch(model, prompts))


def test_an_answer_is_the_same_when_asked_again(model, prompts, no_findings):
    no_findings(decoding.answers_are_the_same_when_asked_again(model, prompts))


def test_an_answer_does_not_depend_on_the_cache(model, prompts, no_findings):
    no_findings(decoding.answers_do_not_depend_on_the_cache(model, prompts))


def test_a_likelihood_does_not_depend_on_its_batch(model, prompts, no_findings):
    no_findings(decoding.likelihoods_do_not_depend_on_their_batch(model, prompts))


def test_no_answer_leaves_the_vocabulary(model, prompts, no_findings):
    no_findings(answers.answers_stay_in_the_vocabulary(model, prompts))


def test_answers_run_in_circles_no_more_than_before(model, base_model, prompts, gate):
    gate(loop_rate(model, prompts), against=base_model and loop_rate(base_model, prompts))
