"""GSM8K, SVAMP and IFEval: prompts, results and values are those of lm-eval's own tasks."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

import pytest

from fake_model import FakeModel, completion, sample, sample_set
from harness.benchmarks.asking import benchmark_samples
from harness.benchmarks.catalogue import BENCHMARKS, chosen
from harness.benchmarks.generated import SVAMP_SHOTS
from harness.benchmarks.local import folder_rows
from harness.errors import DataError
from harness.metrics.asking import Asking
from harness.metrics.extraction import FLEXIBLE, STRICT
from harness.metrics.general import measure_of
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.references import parse_reference

for package in ("lm_eval", "punkt", "langdetect", "immutabledict"):
    pytest.importorskip(package)

import lm_eval  # noqa: E402
from lm_eval.api.metrics import exact_match_hf_evaluate  # noqa: E402
from lm_eval.api.model import LM  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.evaluator import evaluate  # noqa: E402
from lm_eval.filters.extraction import RegexFilter  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks._yaml_loader import load_yaml  # noqa: E402

from ifeval_reference import checkers_of_lm_eval  # noqa: E402

TASKS = Path(lm_eval.__file__).parent / "tasks"


def hens(pairs):
    """Rows in GSM8K's own form, small enough for the demo's 512 positions."""
    return [
        {"question": f"A hen lays {a} eggs and a duck {b}. How many?", "answer": f"{a} + {b} = {a + b}.\n#### {a + b}"}
        for a, b in pairs
    ]


SHOTS = hens([(2, 3), (4, 1), (5, 5), (6, 2), (7, 1), (3, 3)])
ASKED = [
    *hens([(2, 4), (1, 1), (9, 5), (6, 3)]),
    {"question": "A ship costs 9 and 1,991 more. How many?", "answer": "9 + 1,991 = 2,000.\n#### 2,000"},
    {"question": "Who has -5?", "answer": "It is cold.\n#### -5"},
]
SAID = [
    " 2 + 4 = 6.\n#### 6\n\nQuestion: And 7?\nAnswer: #### 8",
    " 1 + 1 = 2\n#### 3",
    " I think it is 14.",
    " 9 hens",
    " It is $2000.\n#### $2000.\n#### 2000",
    " -5 or so #### -5.",
]
"""What a model might say to them: by lm-eval's reading three are right strictly, five flexibly."""

INSTRUCTED = [
    {
        "key": 7,
        "prompt": "Write about rivers without commas, in three words or more.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{"num_words": None, "relation": None}, {"num_words": 3, "relation": "at least"}],
    },
    {
        "key": 8,
        "prompt": "Say where the river is, with a title.",
        "instruction_id_list": ["detectable_format:title"],
        "kwargs": [{"num_words": None, "relation": None}],
    },
    {
        "key": 9,
        "prompt": "Two sentences at least, in lower case and in quotes.",
        "instruction_id_list": [
            "length_constraints:number_sentences",
            "change_case:english_lowercase",
            "startend:quotation",
        ],
        "kwargs": [{"num_sentences": 2, "relation": "at least"}, {}, {}],
    },
]
WRITTEN = ["Rivers are wide", "Sure!\n*<<River>>*\nIt is here, Sir.", 'Of course:\n"the river is wide. it is long."']


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def ours(called, folder, **files):
    """A benchmark, as ``--benchmarks`` calls it, and its samples, its own files holding these rows."""
    (benchmark,) = chosen(called)
    for file, rows in files.items():
        write(folder / benchmark.name / f"{file}.jsonl", rows)
    return benchmark, benchmark_samples(benchmark, partial(folder_rows, folder, benchmark))


def their_task(yaml, folder, **splits):
    """lm-eval's own task on these rows in place of the hub's."""
    files = {split: str(write(folder / f"{split}.jsonl", rows)) for split, rows in splits.items()}
    config = load_yaml(TASKS / yaml)
    config |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    task = ConfigurableTask(config=config, cache_dir=str(folder / "cache"))
    task.set_fewshot_seed(1234)
    return task


def scores(measurement):
    return [measurement.scores[name].values for name in sorted(measurement.scores)]


class Echo(LM):
    """An lm-eval model that says what is written down, up to the stop strings."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def generate_until(self, requests):
        return [self._until(self.said[request.args[0]], request.args[1]["until"]) for request in requests]

    def _until(self, answer, strings):
        for string in strings:
            answer = answer.split(string)[0]
        return answer

    def loglikelihood(self, requests):
        raise AssertionError

    loglikelihood_rolling = loglikelihood


def judged_by_both(benchmark, samples, task, said):
    """(lm-eval's values, its samples by metric, our measurements) of one model that says ``said`` to each prompt."""
    found = evaluate(Echo(said), {task.config.task: task}, bootstrap_iters=0)
    until = [name for name in benchmark.stop if name]
    model = FakeModel(answers={prompt: completion(Echo(said)._until(answer, until)) for prompt, answer in said.items()})
    measured = {metric: measure_of(benchmark, metric)(model, samples) for metric in benchmark.metrics}
    assert set(model.stops) == {benchmark.stop}
    assert set(model.limits) == {benchmark.max_new_tokens}
    return found["results"][task.config.task], found["samples"][task.config.task], measured


def test_gsm8k_is_asked_and_scored_as_by_lm_eval(tmp_path):
    benchmark, samples = ours("gsm8k", tmp_path / "ours", train=SHOTS, test=ASKED)
    task = their_task("gsm8k/gsm8k.yaml", tmp_path / "theirs", train=SHOTS, test=ASKED)
    said = {each.prompt: answer for each, answer in zip(samples, SAID, strict=True)}
    values, answers, measured = judged_by_both(benchmark, samples, task, said)

    for metric in benchmark.metrics:
        of_filter = sorted((a for a in answers if a["filter"] == metric.split(",")[1]), key=lambda a: a["doc_id"])
        assert [each.prompt for each in samples] == [answer["arguments"][0][0] for answer in of_filter]
        assert [each.references[0] for each in samples] == [answer["target"] for answer in of_filter]
        assert measured[metric].value == values[metric]
        assert scores(measured[metric]) == [(answer["exact_match"],) for answer in of_filter]
        assert measured[metric].problems == ()
    assert {metric: round(6 * each.value) for metric, each in measured.items()} == {
        "exact_match,strict-match": 3,
        "exact_match,flexible-extract": 5,
    }


@pytest.mark.parametrize(("which", "chat"), [("base", False), ("tuned", False), ("tuned", True)])
def test_a_model_answers_gsm8k_as_under_lm_eval(which, chat, tmp_path):
    model = load(parse_reference(f"demo:{which}"), LoadOptions(Access(tmp_path / "cache", offline=True)))
    benchmark, samples = ours("gsm8k:3", tmp_path / "ours", train=SHOTS, test=ASKED[:4])
    task = their_task("gsm8k/gsm8k.yaml", tmp_path / "theirs", train=SHOTS, test=ASKED[:4])
    task.set_config("num_fewshot", 3)
    theirs = HFLM(pretrained=model.module, tokenizer=model.tokenizer, batch_size=1, device="cpu")
    options = {"apply_chat_template": True, "fewshot_as_multiturn": True} if chat else {}
    found = evaluate(theirs, {"gsm8k": task}, bootstrap_iters=0, **options)
    answers = Asking(chat, benchmark.stop, benchmark.max_new_tokens).answers(model, samples)
    for each in found["samples"]["gsm8k"]:
        assert answers[f"{each['doc_id']:04}"].text == each["resps"][0][0]
    for metric in benchmark.metrics:
        assert measure_of(benchmark, metric)(model, samples, chat=chat).value == found["results"]["gsm8k"][metric]


def test_results_are_read_as_lm_evals_filters_read_them():
    config = load_yaml(TASKS / "gsm8k/gsm8k.yaml")
    readings = {each["name"]: each["filter"][0] for each in config["filter_list"]}
    ignored = config["metric_list"][0]["regexes_to_ignore"]
    draw = random.Random(3)
    pieces = ["#### ", "####", "$", "-", "1", "18", "1,000", "3.50", ".", ",", " ", "\n", "eggs", "%", "- 2", "٣"]
    texts = ["".join(draw.choice(pieces) for _ in range(draw.randrange(9))) for _ in range(800)]
    seen = set()
    for extraction in (STRICT, FLEXIBLE):
        reading = {key: value for key, value in readings[extraction.name].items() if key != "function"}
        theirs = [found for (found,) in RegexFilter(**reading).apply([[text] for text in texts], [])]
        assert [extraction.found(text) or "[invalid]" for text in texts] == theirs
        for text, found in zip(texts, theirs, strict=True):
            for gold in ("worked\n#### 18", "#### 1,000", "#### -2.", texts[7]):
                (expected,) = {
                    exact_match_hf_evaluate([found], [gold], regexes_to_ignore=ignored, ignore_case=True)["exact_match"]
                }
                assert extraction.is_right(text, gold) == bool(expected)
                seen.add((extraction.name, bool(expected)))
    assert len(seen) == 4


def test_ifeval_is_asked_and_scored_as_by_lm_eval(tmp_path):
    benchmark, samples = ours("ifeval", tmp_path / "ours", input_data=INSTRUCTED)
    said = {each.prompt: answer for each, answer in zip(samples, WRITTEN, strict=True)}
    with checkers_of_lm_eval():
        task = their_task("ifeval/ifeval.yaml", tmp_path / "theirs", train=INSTRUCTED)
        values, answers, measured = judged_by_both(benchmark, samples, task, said)
    answers.sort(key=lambda answer: answer["doc_id"])
    assert [each.prompt for each in samples] == [answer["arguments"][0][0] for answer in answers]
    for metric, each in measured.items():
        assert each.value == values[f"{metric},none"]
        theirs = [answer[metric] for answer in answers]
        if metric.startswith("inst"):
            assert scores(each) == [(float(sum(kept)), float(len(kept))) for kept in theirs]
        else:
            assert scores(each) == [(float(kept),) for kept in theirs]
    assert [round(each.value, 3) for each in measured.values()] == [0.667, 0.667, 1.0, 1.0]


SVAMP_ROWS = [
    {"ID": "chal-1", "Body": "Ed has 7 pens. ", "Question": "How many pens has Ed?", "Answer": 7.0, "Type": "x"},
    {"ID": "chal-2", "Body": "A pen costs 2.50.", "Question": "How much is it?", "Answer": "2.50", "Equation": ""},
]


def test_svamp_is_asked_as_gsm8k_is(tmp_path):
    """In the original file, a list, and as rows of the hub, whose answers are texts."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "SVAMP.json").write_text(json.dumps(SVAMP_ROWS), encoding="utf-8")
    read = [
        benchmark_samples(BENCHMARKS["svamp"], partial(folder_rows, tmp_path / "a", BENCHMARKS["svamp"])),
        ours("svamp", tmp_path / "b", test=SVAMP_ROWS)[1],
    ]
    assert read[0].samples == read[1].samples
    first, second = read[0].samples
    assert first.prompt == f"{SVAMP_SHOTS}Question: Ed has 7 pens. How many pens has Ed?\nAnswer:"
    assert (first.references, second.references) == (("7",), ("2.5",))
    answers = {first.prompt: " Ed has 7.\n#### 7", second.prompt: " It is $2.50\n#### 2.5"}
    strict, flexible = (
        measure_of(BENCHMARKS["svamp"], metric)(FakeModel(answers), read[0]) for metric in BENCHMARKS["svamp"].metrics
    )
    assert strict.value == flexible.value == 1.0
    assert strict.name == "svamp/exact_match,strict-match"


def test_its_own_shots_end_by_what_is_read():
    shots = [shot.partition("\nAnswer:")[2] for shot in SVAMP_SHOTS.split("\n\n") if shot]
    assert [STRICT.found(shot) for shot in shots] == [FLEXIBLE.found(shot) for shot in shots] == ["12", "20", "48", "5"]


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("gsm8k", {"question": "How many?", "answer": "18"}, r"test\.jsonl:2: answer has no result behind '#### '"),
        ("gsm8k", {"question": "How many?", "answer": 18}, r"test\.jsonl:2: answer is '18', a text is expected"),
        ("gsm8k", {"question": "How many?"}, r"test\.jsonl:2: has the fields question; gsm8k needs question answer"),
        ("svamp", {"Body": "B", "Question": "Q", "Answer": "many"}, r"test\.jsonl:2: Answer is 'many', a number"),
        (
            "svamp",
            {"Body": "B", "Question": "Q", "Answer": "1e99999999"},
            r"test\.jsonl:2: Answer is '1e99999999', a num",
        ),
        ("svamp", {"Body": "B", "Question": "Q", "Answer": "NaN"}, r"test\.jsonl:2: Answer is 'NaN', a number"),
        ("ifeval", {"prompt": "P", "instruction_id_list": "x", "kwargs": []}, r"input_data\.jsonl:2: .*must be lists"),
        ("ifeval", {"prompt": "P", "instruction_id_list": ["x"], "kwargs": ["y"]}, r":2: kwargs holds 'y'"),
    ],
)
def test_a_row_that_cannot_be_asked_is_one_sentence(name, row, message, tmp_path):
    rows = {
        "gsm8k": {"train": SHOTS, "test": [ASKED[0], row]},
        "svamp": {"test": [SVAMP_ROWS[0], row]},
        "ifeval": {"input_data": [INSTRUCTED[0], row]},
    }
    with pytest.raises(DataError, match=message):
        ours(name, tmp_path, **rows[name])


def test_instructions_that_nothing_checks_are_told_before_the_model_is_asked(tmp_path):
    row = {"prompt": "P", "instruction_id_list": ["punctuation:no_coma"], "kwargs": [{}]}
    benchmark, samples = ours("ifeval", tmp_path, input_data=[row])
    with pytest.raises(DataError, match=r"ifeval: sample '0000': .*did you mean punctuation:no_comma"):
        measure_of(benchmark, benchmark.metrics[0])(FakeModel(), samples)


def test_a_sample_without_the_right_result_is_told():
    strict = measure_of(BENCHMARKS["gsm8k"], "exact_match,strict-match")
    with pytest.raises(DataError, match=r"set: sample 'q' has 0 references"):
        strict(FakeModel(), sample_set(sample("q")))


def test_as_a_chat_messages_are_asked_and_the_signature_says_so():
    strict = measure_of(BENCHMARKS["gsm8k"], "exact_match,strict-match")
    samples = sample_set(sample("q", references=["#### 1"]))
    plain, chat = (strict(FakeModel({"q": "#### 1"}), samples, chat=chat) for chat in (False, True))
    assert "|format:plain|" in plain.signature
    assert "|format:chat|template:t0|" in chat.signature
    assert "|limit:256|stop:Question%3A,%3C%2Fs%3E,%3C%7Cim_end%7C%3E|" in plain.signature
