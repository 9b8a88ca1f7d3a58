"""How long the checks before a training take on 1,000 rows, beside trl's own preparation of the same rows.

python benchmarks/before_training.py                                          # the embedded model's tokenizer
python benchmarks/before_training.py --output docs/benchmarks-before-training.md
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from functools import partial
from pathlib import Path

from showing import READING, facts, page, results_of, show
from starting import IMPORTS, ROOT, beside, python
from timing import Part, in_turns, seconds, stopwatch

from harness.chat.probe import probe
from harness.inspection import checks
from harness.inspection.checkpoint import Checkpoint
from harness.inspection.matching import Inspection, inspect_batches
from harness.inspection.stand_in import stand_in_trainer
from harness.models.fetch import Access
from harness.models.files import ModelFiles, read_files
from harness.once import default_cache
from harness.references import parse_reference
from harness.rows import read_rows
from harness.training.data import without_bars

WORDS = ("the", "gate", "opens", "at", "noon", "a", "fox", "may", "cross", "garden", "before", "rain", "begins", "town")


def main() -> None:
    """Measure, show, and write down."""
    asked = _arguments()
    with without_bars():
        parts = measured(asked.model, asked.rows, asked.repeats)
    known = facts(asked.model, asked.repeats, ROOT)
    results = results_of(parts)
    show(results, known)
    if asked.output:
        asked.output.write_text(page("Speed before a training", READING, results, known), encoding="utf-8")


def measured(model: str, count: int, repeats: int) -> list[Part]:
    """The checks in one process, and the command that makes them, on so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in made_rows(count)), encoding="utf-8")
        return [checking(model, rows, repeats), whole_process(model, rows, repeats)]


def made_rows(count: int) -> list[dict[str, object]]:
    """Conversations of one to three turns, some with a system message, 20 to 400 words each; always the same."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        messages = [{"role": "system", "content": "Be brief."}] if number % 3 == 0 else []
        for turn in range(1 + number % 3):
            asked, said = (" ".join(draw.choices(WORDS, k=draw.randint(10, 70))) for _ in range(2))
            messages.append({"role": "user", "content": f"{number}.{turn} {asked}?"})
            messages.append({"role": "assistant", "content": f"{said}."})
        rows.append({"messages": messages})
    return rows


def checking(model: str, file: Path, repeats: int) -> Part:
    """In one process, after imports: rows read, prepared and checked; beside it trl's preparation alone."""
    files = read_files(parse_reference(model), Access(default_cache()))
    rows = read_rows(file)
    runs = in_turns(
        {
            "harness": stopwatch(partial(_checked, files, file)),
            "trl's preparation alone": stopwatch(partial(stand_in_trainer, files.tokenizer, rows)),
        },
        repeats,
    )
    seen: Inspection = runs["harness"][-1].answer[0]
    tokens = sum(len(match.segment.ids) for match in seen.matches)
    made = f"{len(rows)} rows, {len(seen.matches)} documents looked at, findings: {runs['harness'][-1].answer[1]}"
    return Part(f"rows read, prepared and checked, {model}", seconds(runs), made, tokens)


def _checked(files: ModelFiles, file: Path) -> tuple[Inspection, int]:
    rows = read_rows(file)
    tokenizer = files.tokenizer
    saved = Checkpoint(tokenizer, probe(tokenizer), stop_ids=files.stop_ids, vocab_rows=files.vocab_rows)
    trainer = stand_in_trainer(tokenizer, rows)
    seen = inspect_batches(trainer, rows)
    found = [finding for check in checks.of_a_trainer(trainer, seen, saved).values() for finding in check()]
    return seen, len(found)


def whole_process(model: str, file: Path, repeats: int) -> Part:
    """The command as a user types it, imports of torch, transformers and trl included."""
    command = ["-m", "pytest", "suites/", "-q", "-m", "preflight", "--model", model, "--train-data", str(file)]
    runs = in_turns(
        {"harness": stopwatch(partial(python, *command)), "imports alone": stopwatch(partial(python, "-c", IMPORTS))},
        repeats,
    )
    times = seconds(runs)
    return Part(
        f"pytest suites/ -m preflight, {model}",
        times,
        f"wall time of the whole process, {beside(times)} of it beside the imports",
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default="demo:tuned", metavar="REF", help="whose tokenizer (default demo:tuned)")
    add("--rows", type=int, default=1000, metavar="N", help="how many rows (default 1000)")
    add("--repeats", type=int, default=3, metavar="N", help="rounds; medians are over these (default 3)")
    add("--output", type=Path, metavar="FILE.md", help="write the table there as Markdown")
    return parser.parse_args()


if __name__ == "__main__":
    main()
