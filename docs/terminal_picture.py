"""Runs the embedded pair as a user does and writes the end of what it prints to docs/terminal.svg."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 112
COMMAND = "pytest suites/ --baseline demo"
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Run, cut out the tables and the summary, and save them as a picture."""
    printed = subprocess.run(  # noqa: S603 - a fixed command line
        [sys.executable, "-m", *COMMAND.split(), "--color=yes"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": str(COLUMNS)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    tables, _, rest = printed.partition("training rows")
    summary = rest[rest.index("╭") :] if "╭" in rest else rest
    start = tables.find("fine-tuning report")
    shown = tables[tables.rfind("\n", 0, start) + 1 :].rstrip() + "\n\n" + summary
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(f"$ {COMMAND}\n{shown}"), soft_wrap=True)
        console.save_svg(str(ROOT / "docs" / "terminal.svg"), title=COMMAND)


if __name__ == "__main__":
    main()
