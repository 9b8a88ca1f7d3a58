"""``python -m harness COMMAND``: what this package does outside of pytest."""

from __future__ import annotations

import argparse
import sys

from harness.commands import benchmarks, calibrate, import_lm_eval, ratings, rows, select, train
from harness.zoo import command as zoo


def main(arguments: list[str] | None = None) -> int:
    """Run the command that is named on the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m harness", description="The pytest for fine-tuned language models.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    train.add_to(commands)
    select.add_to(commands)
    rows.add_to(commands)
    ratings.add_to(commands)
    benchmarks.add_to(commands)
    calibrate.add_to(commands)
    import_lm_eval.add_to(commands)
    zoo.add_to(commands)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
