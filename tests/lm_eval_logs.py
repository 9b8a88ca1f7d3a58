"""Small tasks of lm-eval over our own text, and what lm-eval itself writes of a run of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

PLACES = ["France", "Japan", "Italy", "Spain", "Germany", "England", "China", "Russia", "Egypt", "Greece"]
CITIES = ["Paris", "Tokyo", "Rome", "Madrid", "Berlin", "London", "Beijing", "Moscow", "Cairo", "Athens"]

CHOICE: Mapping[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "people of {{place}} love",
    "doc_to_choice": "{{cities}}",
    "doc_to_target": "{{right}}",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    "metadata": {"version": 1.0},
}
ANSWER: Mapping[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": "the capital of {{place}} is",
    "doc_to_target": "{{cities[right]}}",
    "generation_kwargs": {"until": [".", "\n"], "max_gen_toks": 6, "do_sample": False},
    "metric_list": [{"metric": name} for name in ("exact_match", "bleu", "chrf", "chrf++", "ter")],
    "filter_list": [
        {"name": "whole", "filter": [{"function": "take_first"}]},
        {
            "name": "word",
            "filter": [{"function": "regex", "regex_pattern": r"(\w+)"}, {"function": "take_first"}],
        },
    ],
    "metadata": {"version": 2.0},
}
ROLLING: Mapping[str, Any] = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "the capital of {{place}} is {{cities[right]}}.",
}
ENDING: Mapping[str, Any] = {
    "output_type": "loglikelihood",
    "doc_to_text": "the capital of {{place}} is",
    "doc_to_target": " {{cities[right]}}",
    "num_fewshot": 2,
    "fewshot_split": "test",
}


def capitals() -> list[dict[str, Any]]:
    """Ten rows with three cities each, the right one in every place; the demo knows some of what is made of them."""
    rows = []
    for number, place in enumerate(PLACES):
        cities = [CITIES[(number + step) % 10] for step in range(3)]
        right = number % 3
        cities[0], cities[right] = cities[right], cities[0]
        rows.append({"place": place, "cities": cities, "right": right})
    return rows


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_task(
    folder: Path, name: str, body: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] | None = None
) -> Path:
    """A YAML (JSON is YAML) that names its data by path, and the data beside it."""
    data = write_rows(folder / f"{name}.jsonl", capitals() if rows is None else rows)
    task = {"task": name, "dataset_path": "json", "test_split": "test"}
    task |= {"dataset_kwargs": {"data_files": {"test": str(data)}}, **body}
    path = folder / f"{name}.yaml"
    # lm-eval's own files are block YAML, and a name is looked for at the beginning of a line.
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in task.items()), encoding="utf-8")
    return path


def logged_by_lm_eval(model: Any, tasks: Sequence[Path | str], output: Path, **options: Any) -> dict[str, Any]:
    """What lm-eval finds, and writes into ``output`` as ``lm-eval run --log_samples --output_path`` does."""
    from lm_eval import evaluator
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path=str(output))
    engine = HFLM(pretrained=model.module, tokenizer=copy.deepcopy(model.tokenizer), batch_size=8, device="cpu")
    with patch.object(evaluator, "add_env_info"):  # it asks pip for every package, which takes seconds
        found = evaluator.simple_evaluate(
            engine,
            tasks=[str(task) for task in tasks],
            evaluation_tracker=tracker,
            bootstrap_iters=0,
            **{"task_manager": TaskManager(include_defaults=False), **options},
        )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name in found["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    return found
