"""``python -m harness COMMAND``: what this package does outside of pytest."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.text import Text

from harness.commands import benchmarks, calibrate, import_lm_eval, ratings, rows, select, train
from harness.errors import HarnessError, UsageError
from harness.report.text import visible
from harness.zoo import command as zoo

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C has ended."""


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
    parser.set_defaults(interrupted="nothing was written")
    options = parser.parse_args(arguments)
    return _ended(options)


def _ended(options: argparse.Namespace) -> int:
    """The command's own status; 2 where the user has to put something right, 1 where the run broke: with a sentence."""
    screen = Console(stderr=True)
    try:
        status: int = options.run(options)
    except HarnessError as error:
        screen.print(Text(visible(str(error)), style="bold red"), soft_wrap=True)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        screen.print(f"interrupted; {options.interrupted}", soft_wrap=True)
        return INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
