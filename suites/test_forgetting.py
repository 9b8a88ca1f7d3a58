"""Forgetting: has the tuned model kept its base's general ability?"""

import pytest

from harness import METRICS, bits_per_byte, same_likelihoods
from harness.inspection import choices
from harness.metrics.noise_floor import scores_depend_on_their_batch

pytestmark = pytest.mark.forgetting


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_knowledge_is_kept(model, base_model, gate, questions, chat_choices, metric):
    measure = METRICS[metric]
    gate(
        measure(model, questions, chat=chat_choices),
        against=base_model and measure(base_model, questions, chat=chat_choices),
    )


def test_tuning_has_changed_the_likelihoods(model, base_model, questions, chat_choices, no_findings):
    if base_model is None:
        pytest.skip("no base model is known to compare the likelihoods with: name it with --base-model")
    no_findings(same_likelihoods(model, base_model, questions, chat=chat_choices))


def test_scores_do_not_depend_on_their_batch(questions, noise_floor, no_findings):
    no_findings(scores_depend_on_their_batch(noise_floor(questions), questions.name))


def test_every_choice_is_scored_whole(model, questions, chat_choices, no_findings):
    no_findings(choices.choices_are_scored_whole(model, questions, chat=chat_choices))


def test_no_prompt_ends_in_a_space(model, questions, no_findings):
    no_findings(choices.prompts_end_in_no_space(model, questions))


def test_plain_prose_is_still_predicted(model, base_model, gate, prose):
    gate(bits_per_byte(model, prose), against=base_model and bits_per_byte(base_model, prose))


def test_general_ability_is_kept(model, base_model, gate, benchmark_score, benchmark_measurement):
    gate(
        benchmark_measurement(model, benchmark_score),
        against=base_model and benchmark_measurement(base_model, benchmark_score),
    )


def test_every_choice_of_a_benchmark_is_scored_whole(
    model, benchmark_of_choices, benchmark_set, chat_choices, no_findings
):
    no_findings(choices.choices_are_scored_whole(model, benchmark_set(benchmark_of_choices), chat=chat_choices))


def test_lm_eval_tasks_are_kept(model, base_model, gate, lm_eval_score, lm_eval_measurement, lm_eval_margin):
    measured = lm_eval_measurement(model, lm_eval_score)
    against = base_model and lm_eval_measurement(base_model, lm_eval_score)
    gate(measured, against=against, margin=lm_eval_margin(measured, against))


def test_later_stages_keep_what_earlier_ones_learned(stage_pair, stage_measurement, gate):
    earlier, later = stage_pair
    gate(
        stage_measurement(later, on=earlier),
        against=stage_measurement(earlier, on=earlier),
        called=f"stage {earlier}",
    )
