"""Quality: are the tuned model's answers nearer to the references than its base's, and not further than before?"""

import pytest

from harness import METRICS, greedy_answers, same_answers

pytestmark = pytest.mark.quality


@pytest.mark.parametrize("metric", ["exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_answers_are_near_the_references(model, base_model, gate, tasks, answerable, metric):
    measure, tasks = METRICS[metric], answerable(tasks)
    gate(measure(model, tasks), against=base_model and measure(base_model, tasks))


def test_the_answers_are_preferred(preferred, gate, note, criterion):
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
