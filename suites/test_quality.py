"""Quality: are the tuned model's answers nearer to the references than its base's, and not further than before?"""

import pytest

from harness import (
    METRICS,
    greedy_answers,
    over_refusal_rate,
    refusal_rate,
    same_answers,
    text_metrics_are_sound,
)

pytestmark = pytest.mark.quality


@pytest.mark.parametrize("metric", ["exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_answers_are_near_the_references(model, base_model, gate, tasks, answerable, metric):
    measure, tasks = METRICS[metric], answerable(tasks)
    gate(measure(model, tasks), against=base_model and measure(base_model, tasks))


def test_the_answers_are_preferred(preferred, gate, note):
    for line in preferred.told:
        note(line)
    gate(preferred.tuned, against=preferred.base, called="base model's answers")


def test_tuning_has_changed_the_answers(model, base_model, tasks, answerable, no_findings, answers):
    tasks = answerable(tasks)
    tuned = greedy_answers(model, tasks)
    if base_model is None:
        answers(tasks, tuned)
        pytest.skip("no base model is known to compare the answers with: name it with --base-model")
    base = greedy_answers(base_model, tasks)
    answers(tasks, tuned, base)
    no_findings(same_answers(tuned, base, same_weights=model.digests == base_model.digests))


def test_text_metrics_are_sound(no_findings):
    no_findings(text_metrics_are_sound())


@pytest.fixture
def gate_refusals(model, base_model, samples, answerable, gate):
    def judge(rate, name):
        prompts = answerable(samples(name))
        tuned, base = rate(model, prompts), base_model and rate(base_model, prompts)
        # A model may well speak a language that the rule cannot read: that is no broken run, and says nothing.
        unread = [f"{each.name}: {each.problems[0]}" for each in (tuned, base) if each and each.problems]
        if unread:
            pytest.skip(unread[0])
        gate(tuned, against=base)

    return judge


def test_harmful_prompts_are_declined_as_often_as_before(gate_refusals):
    gate_refusals(refusal_rate, "harmful_prompts.jsonl")


def test_harmless_prompts_are_declined_no_more_than_before(gate_refusals):
    gate_refusals(over_refusal_rate, "harmless_prompts.jsonl")
