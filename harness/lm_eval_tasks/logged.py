"""One sample as lm-eval logs it: read the same from a run of this moment and from a file of an earlier one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import DataError


@dataclass(frozen=True)
class Logged:
    """One sample with the answers to it as one filter leaves them.

    ``requests`` holds the texts of each request: context and continuation, context alone, or a text to be scored.
    ``generation`` holds its settings where an answer is generated. ``values`` has everything that
    was logged; ``where`` opens the sentence of an error.
    """

    doc_id: int
    filter: str | None
    requests: tuple[tuple[str, ...], ...]
    generation: Mapping[str, Any]
    target: str
    values: Mapping[str, Any]
    where: str


def logged(line: Mapping[str, Any], where: str) -> Logged:
    """Read one object of lm-eval's sample logs, of any 0.4; raises DataError where it is no such object."""
    doc_id = line.get("doc_id")
    if type(doc_id) is not int or doc_id < 0:
        raise DataError(f"{where}: doc_id is {doc_id!r}, not a whole number; is this a file that --log_samples wrote?")
    arguments = [_in_order(each, where) for each in _in_order(line.get("arguments"), where)]
    requests = tuple(tuple(text for text in each if isinstance(text, str)) for each in arguments)
    if not requests or not all(requests):
        raise DataError(f"{where}: sample {doc_id} has no prompt in its arguments; log the samples of that run again.")
    settings = [part for each in arguments for part in each if isinstance(part, Mapping)]
    until = settings[0].get("until") if settings else None
    if not isinstance(until, str | None) and not (isinstance(until, list) and all(isinstance(x, str) for x in until)):
        raise DataError(f"{where}: until of sample {doc_id} is no text and no list of texts; log that run again.")
    name = line.get("filter")
    return Logged(
        doc_id=doc_id,
        filter=None if name is None else str(name),
        requests=requests,
        generation=settings[0] if settings else {},
        target=str(line.get("target")),
        values=line,
        where=where,
    )


def _in_order(value: Any, where: str) -> Sequence[Any]:
    """A list as it is, or the values of ``{"gen_args_0": ..., "gen_args_1": ...}`` by their numbers."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, Mapping):
        return [value[key] for key in sorted(value, key=_number)]
    raise DataError(
        f"{where}: arguments are {type(value).__name__}, where lm-eval writes a list or gen_args_0, gen_args_1."
    )


def _number(key: str) -> int:
    digits = re.search(r"\d+$", key)
    return int(digits[0]) if digits else 0


def by_filter(lines: Sequence[Logged], filters: Sequence[str], task: str) -> dict[str, dict[int, Logged]]:
    """Samples by filter and doc_id. Before 0.4.6 nothing names the filter: then a sample's first line is the first's.

    Raises DataError where a sample is there twice under one filter, or under one filter and not under another.
    """
    found: dict[str, dict[int, Logged]] = {name: {} for name in filters}
    for line in lines:
        name = line.filter if line.filter is not None else next(_free(line.doc_id, found), filters[-1])
        samples = found.setdefault(name, {})
        if line.doc_id in samples:
            raise DataError(
                f"{line.where}: sample {line.doc_id} of {task} is there a second time; it was first at "
                f"{samples[line.doc_id].where}. A file holds one run of one task."
            )
        samples[line.doc_id] = line
    _require_the_same_samples(found, task)
    return found


def _require_the_same_samples(found: Mapping[str, Mapping[int, Logged]], task: str) -> None:
    """lm-eval lays every filter over all answers; where a line is lost, the mean of the others may stay what it was."""
    used = {name: samples for name, samples in found.items() if samples}
    everywhere = {doc_id: line for samples in used.values() for doc_id, line in samples.items()}
    for name, samples in used.items():
        if lost := everywhere.keys() - samples.keys():
            doc_id = min(lost)
            raise DataError(
                f"{everywhere[doc_id].where}: sample {doc_id} of {task} is there, but not under the filter {name!r}, "
                f"which has {len(samples)} of {len(everywhere)}; the file was cut, or edited."
            )


def _free(doc_id: int, found: Mapping[str, Mapping[int, Logged]]) -> Iterator[str]:
    return (name for name, samples in found.items() if doc_id not in samples)
