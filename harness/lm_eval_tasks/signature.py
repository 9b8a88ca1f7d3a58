"""What makes a number of lm-eval comparable: in this package's words where it measures the same by the same rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from harness.lm_eval_tasks.content import known_benchmark
from harness.lm_eval_tasks.logged import Logged
from harness.lm_eval_tasks.scores import UNFILTERED, Score
from harness.provenance import object_digest

DEFAULT_LIMIT = 256
"""New tokens where a task does not say how many."""


@dataclass(frozen=True)
class TaskRun:
    """What one run of lm-eval says of one task.

    ``samples`` are by filter and doc_id; ``reported`` has lm-eval's own values by ``metric,filter``. ``template`` names
    the chat template, empty for plain text. ``limited`` tells that not all of the task's samples were asked.
    """

    task: str
    config: Mapping[str, Any]
    version: str
    shots: int
    template: str
    samples: Mapping[str, Mapping[int, Logged]]
    reported: Mapping[str, Any]
    limited: bool

    @property
    def output(self) -> str:
        """What is asked of the model."""
        return str(self.config.get("output_type", "generate_until"))


def template_name(text: str | None) -> str:
    """A short name of a chat template by its text, which is what lm-eval keeps of it; empty for plain text."""
    return object_digest(text)[:12] if text else ""


def signature_of(runs: Sequence[TaskRun], score: Score) -> str:
    """How the answers were made and scored; of a set's tasks, what they differ in is in their samples' digests."""
    first = runs[0]
    answers = {_answers(line.generation) for run in runs for line in run.samples.get(score.filter, {}).values()} - {""}
    if not first.template and (ours := _in_our_words(first, score, answers)):
        return ours
    layout = f"format:chat|template:{first.template}" if first.template else "format:plain"
    return "|".join(("engine:lm-eval", *sorted(answers), layout))


def settings_of(runs: Sequence[TaskRun]) -> str:
    """How the samples were made, in the words of a benchmark's own sample set."""
    versions, shots = {run.version for run in runs}, {str(run.shots) for run in runs}
    return f"task-version:{','.join(sorted(versions))}|shots:{','.join(sorted(shots))}"


def _answers(generation: Mapping[str, Any]) -> str:
    """How answers were generated, in the words of ``harness.metrics.asking``; empty where none was."""
    if not generation:
        return ""
    until = generation.get("until") or []
    stop = ",".join(quote(text, safe=" ") for text in ([until] if isinstance(until, str) else until))
    drawn = {key: value for key, value in sorted(generation.items()) if key not in ("until", "max_gen_toks")}
    how = f"sampled {object_digest(drawn)[:8]}" if generation.get("do_sample") else "greedy"
    return f"answers:{how}|limit:{generation.get('max_gen_toks', DEFAULT_LIMIT)}|stop:{stop}"


def _in_our_words(run: TaskRun, score: Score, answers: Set[str]) -> str:
    """The signature of ``harness.metrics`` where lm-eval's rule is the same, which parity tests hold; else empty."""
    benchmark, metric = known_benchmark(run.task), score.metric
    if benchmark is not None and answers and score.label in benchmark.metrics:
        return f"{','.join(sorted(answers))}|format:plain"
    if score.filter != UNFILTERED:
        return ""
    own_scoring = not run.config.get("process_results")
    delimiter = {" ": "space", "": "none"}.get(str(run.config.get("target_delimiter", " ")), "other")
    if run.output == "multiple_choice" and delimiter != "other":
        if own_scoring and metric in ("acc", "acc_norm"):
            return f"format:plain|delimiter:{delimiter}"
        if benchmark is not None and benchmark.scoring == "mass" and metric == "acc":
            return f"scoring:mass|format:plain|delimiter:{delimiter}"
    if run.output == "loglikelihood" and own_scoring:
        continuation = "scoring:continuation|format:plain|delimiter:space"
        return {"acc": continuation, "perplexity": f"level:corpus|unit:ending|{continuation}"}.get(metric, "")
    return ""
