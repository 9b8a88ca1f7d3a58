"""lm-eval's side of a comparison: its own task, requests and engine, on a model that is in memory already."""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM

from harness.models.local import LocalModel
from harness.records import SampleSet

ROWS = (8, 16, 32)
"""Batch sizes that are tried for its best."""
USUAL_ROWS = 16

CHOICE_METRICS = ("acc", "acc_norm")


def engine(model: LocalModel, rows: int) -> Any:
    """lm-eval's engine over the very module and tokenizer of the harness's model."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of a model that is given to it ready
    return HFLM(pretrained=model.module, tokenizer=model.tokenizer, batch_size=rows, device=str(model.module.device))


def choice_task(questions: SampleSet) -> Any:
    """Make lm-eval's own task of the questions, its requests built; as a YAML over a JSON file would."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "questions.jsonl"
        lines = [{"prompt": each.prompt, "choices": each.choices, "target": each.target} for each in questions]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        config = {
            "task": "questions",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(file)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{target}}",
            "metric_list": [
                {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in CHOICE_METRICS
            ],
        }
        with redirect_stderr(io.StringIO()):  # its bars
            task = ConfigurableTask(config=config, cache_dir=folder)
            task.build_all_requests(limit=None, rank=0, world_size=1)
    return task


def loglikelihoods(engine: Any, requests: Sequence[Any]) -> list[tuple[float, bool]]:
    """Ask its engine; one (sum of log-probabilities, greedy) a request."""
    found: list[tuple[float, bool]] = engine.loglikelihood(list(requests), disable_tqdm=True)
    return found


def choice_hits(task: Any, replies: Sequence[tuple[float, bool]]) -> list[tuple[float, ...]]:
    """What lm-eval makes of the replies: acc and acc_norm of every question."""
    per_document: dict[int, list[tuple[float, bool]]] = {}
    for request, reply in zip(task.instances, replies, strict=True):
        per_document.setdefault(request.doc_id, []).append(reply)
    found = [task.process_results(task.eval_docs[number], each) for number, each in sorted(per_document.items())]
    return [tuple(each[metric] for metric in CHOICE_METRICS) for each in found]


def completions(engine: Any, conversations: Sequence[list[dict[str, Any]]], new_tokens: int) -> list[str]:
    """Ask its engine for greedy answers, each up to the end of the turn."""
    settings = {"until": [], "max_gen_toks": new_tokens, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (engine.apply_chat_template(messages), settings), number)
        for number, messages in enumerate(conversations)
    ]
    found: list[str] = engine.generate_until(requests, disable_tqdm=True)
    return found


def exact_match(texts: Sequence[str], references: Sequence[str]) -> float:
    """The share of answers that are their reference, as lm-eval reckons it."""
    return float(exact_match_hf_evaluate(predictions=list(texts), references=list(references))["exact_match"])
