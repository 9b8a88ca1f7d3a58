"""``python -m harness.demo FOLDER`` trains the pair and prints its figures; ``--data FOLDER`` writes the samples."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.demo import names


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m harness.demo", description="Make the embedded pair.")
    parser.add_argument("output", nargs="?", type=Path, help="train the three models and write them here")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="write the sample files here")
    parser.add_argument("--steps-scale", type=float, default=1.0, metavar="S", help="share of the training steps")
    options = parser.parse_args(arguments)
    if options.output is None and options.data is None:
        parser.error("name a folder for the models, or give --data FOLDER for the sample files.")
    if options.steps_scale <= 0:
        parser.error(f"--steps-scale must be above 0, not {options.steps_scale:g}.")
    if options.data:
        _write_data(options.data)
    if options.output:
        _train(options.output, options.steps_scale)


def _write_data(folder: Path) -> None:
    from harness.demo.samples import write_samples

    write_samples(folder)
    Console().print(f"Sample files written to {folder}")


def _train(output: Path, steps_scale: float) -> None:
    import datasets  # these imports are heavy, and --data and --help do without them
    import transformers

    from harness.demo.train import Schedule, train_pair

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    started = time.monotonic()
    train_pair(output, Schedule().scaled(steps_scale))
    console = Console()
    console.print(f"Trained in {time.monotonic() - started:.0f} s, written to {output}")
    console.print(_figures(output))


def _figures(output: Path) -> Table:
    from harness.demo.measure import measure

    table = Table("model", "acc", "stop rate", "exact match", "BLEU", "translations", title="The embedded pair")
    for name in names():
        figures = measure(output / name)
        table.add_row(
            name,
            f"{figures.acc:.3f}",
            f"{figures.stop_rate:.3f}",
            f"{figures.exact_match:.3f}",
            f"{figures.bleu:.1f}",
            f"{figures.translations:.3f}",
        )
    return table


if __name__ == "__main__":
    main()
