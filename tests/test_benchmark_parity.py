"""General benchmarks against lm-eval's own tasks: the same prompts, letter by letter, and the same numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmark_files import OWN, own_rows, write_jsonl
from fake_model import FakeModel
from harness.benchmarks.asking import benchmark_samples
from harness.benchmarks.catalogue import benchmark_called
from harness.benchmarks.local import folder_rows
from harness.benchmarks.shots import shot_indexes
from harness.metrics.continuation import foreseen
from harness.metrics.general import measure_of
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.references import parse_reference
from harness.requests import scored_pairs

lm_eval = pytest.importorskip("lm_eval")

from lm_eval.api.samplers import ContextSampler  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.evaluator import evaluate  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks._yaml_loader import load_yaml  # noqa: E402

TASKS = Path(lm_eval.__file__).parent / "tasks"
YAML = {
    "arc_easy": "arc/arc_easy.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "piqa": "piqa/piqa.yaml",
    "social_iqa": "siqa/siqa.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "winogrande": "winogrande/default.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "copa": "super_glue/copa/default.yaml",
    "xcopa_zh": "xcopa/default_zh.yaml",
    "blimp_adjunct_island": "blimp/adjunct_island.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
    "mmlu_anatomy": "mmlu/default/mmlu_anatomy.yaml",
    "ceval-valid_law": "ceval/ceval-valid_law.yaml",
    "cmmlu_agronomy": "cmmlu/cmmlu_agronomy.yaml",
}
DRAWN = {
    "arc_easy": 3,
    "hellaswag": 2,
    "winogrande": 4,
    "copa": 1,
    "boolq": 2,
    "xcopa_zh": 3,
    "piqa": 5,
    "openbookqa": 2,
}
OWN_COUNT = {"mmlu_anatomy": 5, "ceval-valid_law": 5, "cmmlu_agronomy": 5}
"""Benchmarks that are asked with shots of themselves."""

CASES = [(name, OWN_COUNT.get(name, 0)) for name in YAML] + list(DRAWN.items()) + [("mmlu_anatomy", 0)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(parse_reference("demo:base"), LoadOptions(Access(tmp_path_factory.mktemp("cache"), True)))


@pytest.fixture(scope="module")
def their_model(model):
    return HFLM(pretrained=model.module, tokenizer=model.tokenizer, batch_size=1, device="cpu")


def their_task(name, shots, folder):
    """lm-eval's own task, its hub rows replaced by ours in the hub's form."""
    files = {split: str(write_jsonl(folder / f"{split}.jsonl", rows)) for split, rows in own_rows(name).items()}
    config = load_yaml(TASKS / YAML[name])
    # A split that nobody draws from is one that these rows need not have.
    config |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    for kind in ("training_split", "validation_split", "test_split"):
        if config.get(kind) not in files:
            config[kind] = None
    task = ConfigurableTask(config=config, cache_dir=str(folder / "cache"))
    task.set_config("num_fewshot", shots)
    task.set_fewshot_seed(1234)
    return task


def our_samples(name, shots, folder):
    """The same rows in the set's own files."""
    OWN[name].write(folder, own_rows(name))
    benchmark = replace(benchmark_called(name), shots=shots)
    return benchmark, benchmark_samples(benchmark, partial(folder_rows, folder, benchmark))


def theirs(name, task, their_model, **options):
    """lm-eval's {metric: value}, and its answers in the order of their rows."""
    found = evaluate(their_model, {name: task}, bootstrap_iters=0, **options)
    values = {
        key.removesuffix(",none"): value for key, value in found["results"][name].items() if key.endswith(",none")
    }
    answers = sorted(found["samples"][name], key=lambda answer: answer["doc_id"])
    return {key: value for key, value in values.items() if not key.endswith("_stderr")}, answers


@pytest.mark.parametrize(("name", "shots"), CASES, ids=[f"{name}-{shots}" for name, shots in CASES])
def test_prompts_and_numbers_are_those_of_lm_eval(name, shots, model, their_model, tmp_path):
    benchmark, samples = our_samples(name, shots, tmp_path / "ours")
    task = their_task(name, shots, tmp_path / "theirs")
    values, answers = theirs(name, task, their_model)
    assert benchmark.version == str(task.VERSION)
    assert [sample.id for sample in samples] == [f"{answer['doc_id']:04}" for answer in answers]
    assert [scored_pairs(sample) for sample in samples] == [asked_of(answer) for answer in answers]
    assert set(benchmark.metrics) == set(values)

    told = {pair: reply for answer in answers for pair, reply in zip(asked_of(answer), replies_to(answer), strict=True)}
    echo = FakeModel(likelihood=lambda context, scored: told[context, scored][0])
    for metric in benchmark.metrics:
        measure = measure_of(benchmark, metric)
        ours = measure(model, samples)
        assert ours.value == pytest.approx(values[metric], rel=1e-6)
        if metric != "perplexity" and benchmark.scoring != "mass":
            assert hits(ours) == [answer[metric] for answer in answers]
        if measure is not foreseen:
            # The arithmetic alone, on lm-eval's own likelihoods, to the last digit of a double.
            assert measure(echo, samples).value == pytest.approx(values[metric], rel=1e-15)


def hits(measurement):
    return [score.values[0] for _, score in sorted(measurement.scores.items())]


def asked_of(answer):
    return [tuple(request) for request in answer["arguments"]]


def replies_to(answer):
    return [(float(reply[0][0]), reply[0][1] in (True, "True")) for reply in answer["resps"]]


@pytest.mark.parametrize(
    ("name", "shots"), [("arc_easy", 2), ("winogrande", 2), ("mmlu_anatomy", 3), ("lambada_openai", 0)]
)
def test_a_chat_template_renders_the_prompts_of_lm_eval(name, shots, model, their_model, tmp_path):
    benchmark, samples = our_samples(name, shots, tmp_path / "ours")
    chat = {"apply_chat_template": True, "fewshot_as_multiturn": True}
    values, answers = theirs(name, their_task(name, shots, tmp_path / "theirs"), their_model, **chat)
    rendered = [
        [(model.context(context), scored) for context, scored in scored_pairs(sample, chat=True)] for sample in samples
    ]
    assert rendered == [asked_of(answer) for answer in answers]
    ours = measure_of(benchmark, "acc")(model, samples, chat=True)
    assert ours.value == values["acc"]


def test_shots_among_copies_of_the_item_are_drawn_as_by_lm_eval():
    pool = [{"n": number % 4} for number in range(12)]
    items = [{"n": number % 5} for number in range(40)]
    theirs = ContextSampler(pool, rnd=1234)
    ours = shot_indexes("random others", 6, pool, items, "the pool")
    assert [[pool[place] for place in places] for places in ours] == [theirs.sample(6, item) for item in items]


def test_shots_with_the_item_left_in_are_drawn_as_by_lm_eval():
    pool = [{"n": number} for number in range(30)]
    theirs = ContextSampler(pool, rnd=1234)
    ours = shot_indexes("random", 5, pool, pool, "the pool")
    assert [[pool[place] for place in places] for places in ours] == [theirs.sample(5) for _ in pool]
