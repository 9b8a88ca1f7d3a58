"""acc, acc_norm and bits_per_byte against lm-eval itself: its loader, requests, engine and metrics on one model."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from harness import acc, acc_norm, bits_per_byte
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.prose import python_prose
from harness.references import parse_reference
from harness.samples import read_samples

lm_eval = pytest.importorskip("lm_eval")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.evaluator import evaluate  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

GENERAL_KNOWLEDGE = Path(__file__).parent.parent / "suites" / "data" / "general_knowledge.jsonl"

PROMPTS = [
    "The capital of France is",
    "Question: What opens at noon?\nAnswer: ",
    "法国的首都是",
    "He said:\n\n",
    "  x =\t",
]
CHOICES = [
    "Paris",
    "Paris ",
    "the old gate by the sea",
    "巴黎",
    "北京的大门 in the garden",
    "7",
    "42.0",
    " a fox",
    "\n",
    "é…",
]


def odd_questions(folder):
    """Two to six choices of one to many tokens; every fifth question has one choice twice, which is a tie."""
    generator = random.Random(0)
    lines = []
    for number in range(60):
        choices = generator.sample(CHOICES, 2 + number % 5)
        if number % 5 == 0:
            choices.append(choices[0])
        prompt = f"{number}. {generator.choice(PROMPTS)}"
        target = 0 if number % 10 == 0 else generator.randrange(len(choices))
        lines.append(json.dumps({"id": f"odd-{number:02}", "prompt": prompt, "choices": choices, "target": target}))
    path = folder / "odd.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["base", "tuned"])
def model(request, tmp_path_factory):
    return load(parse_reference(f"demo:{request.param}"), LoadOptions(Access(tmp_path_factory.mktemp("cache"), True)))


def their_model(model, rows):
    return HFLM(pretrained=model.module, tokenizer=model.tokenizer, batch_size=rows, device="cpu")


@pytest.fixture
def theirs(model, tmp_path):
    """What lm-eval says of a file: {metric: value} and {metric: {sample id: hit}}.

    One row at a time by default: a row's last bits depend on its batch, and two equal choices must tie.
    """

    def run(path, rows=1, **options):
        config = {
            "task": "ours",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(path)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{target}}",
            "metric_list": [{"metric": metric} for metric in ("acc", "acc_norm")],
        }
        task = ConfigurableTask(config=config, cache_dir=str(tmp_path / "datasets"))
        found = evaluate(their_model(model, rows), {"ours": task}, bootstrap_iters=0, **options)
        values = {metric: found["results"]["ours"][f"{metric},none"] for metric in ("acc", "acc_norm")}
        return values, {
            metric: {answer["doc"]["id"]: answer[metric] for answer in found["samples"]["ours"]} for metric in values
        }

    return run


def hits(measurement):
    return {sample_id: score.values[0] for sample_id, score in measurement.scores.items()}


def test_general_knowledge_is_scored_as_by_lm_eval(model, theirs):
    values, their_hits = theirs(GENERAL_KNOWLEDGE, rows=32)
    questions = read_samples(GENERAL_KNOWLEDGE)
    for measure in (acc, acc_norm):
        ours = measure(model, questions)
        assert ours.value == values[ours.metric]
        assert hits(ours) == their_hits[ours.metric]


def test_odd_questions_are_scored_as_by_lm_eval(model, theirs, tmp_path):
    path = odd_questions(tmp_path)
    values, their_hits = theirs(path)
    for measure in (acc, acc_norm):
        ours = measure(model, read_samples(path))
        assert ours.value == values[ours.metric]
        assert hits(ours) == their_hits[ours.metric]
    assert 0 < values["acc"] != values["acc_norm"] < 1


def test_the_chat_template_is_applied_as_by_lm_eval(model, theirs, tmp_path):
    path = odd_questions(tmp_path)
    values, their_hits = theirs(path, apply_chat_template=True)
    for measure in (acc, acc_norm):
        ours = measure(model, read_samples(path), chat=True)
        assert ours.value == values[ours.metric]
        assert hits(ours) == their_hits[ours.metric]


def test_bits_per_byte_is_that_of_lm_eval(model):
    prose = python_prose()
    texts = replace(prose, samples=(*prose.samples[:6], replace(prose.samples[0], id="zh", prompt="海边的大门。" * 9)))
    requests = [Instance("loglikelihood_rolling", {}, (sample.prompt,), 0) for sample in texts]
    nats = -math.fsum(their_model(model, 1).loglikelihood_rolling(requests, disable_tqdm=True))
    bits = nats / math.log(2) / sum(len(sample.prompt.encode()) for sample in texts)
    assert max(len(model.tokenizer.encode(sample.prompt)) for sample in texts) > model.longest, "needs two windows"
    assert bits_per_byte(model, texts).value == pytest.approx(bits, rel=1e-5)
