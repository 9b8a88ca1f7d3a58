"""Samples from JSONL: one reader, whose every complaint names file and line."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.records import Messages, Sample, SampleSet

HALF = re.compile("[\\ud800-\\udfff]")
"""Half of a pair that stands for one character; a whole pair is read as that character."""


def read_samples(path: Path, name: str | None = None) -> SampleSet:
    """Read a JSONL file of samples: ``id``, ``prompt`` or ``messages``, and what its metrics need.

    Multiple choice gives ``choices`` and ``target`` (index or text); free text gives ``target`` or ``references``.
    Raises DataError, naming the line, for anything that is not so, for a duplicate id and for an empty file.
    """
    samples: list[Sample] = []
    first_line: dict[str, int] = {}
    for number, line in json_lines(path):
        sample = sample_of(line, f"{path}:{number}")
        if sample.id in first_line:
            raise DataError(
                f"{path}:{number}: id {sample.id!r} was used before, on line {first_line[sample.id]}; "
                "samples are paired by id, so each needs its own."
            )
        first_line[sample.id] = number
        samples.append(sample)
    if not samples:
        raise DataError(f"{path}: holds no sample; write one JSON object a line.")
    return SampleSet(name or path.stem, tuple(samples), origin=str(path))


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, JSON object) for every line that is not blank."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    for number, raw in enumerate(content.split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: not UTF-8 at byte {error.start} of the line; save the file as UTF-8."
            ) from None
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}:{number}: not valid JSON at column {error.colno}: {error.msg}; each line is one JSON object."
            ) from None
        except (ValueError, RecursionError) as error:
            what = "lists or objects nested too deep" if isinstance(error, RecursionError) else "a number too long"
            raise DataError(f"{path}:{number}: holds {what} to be read; each line is one JSON object.") from None
        if b"\\u" in raw and HALF.search(json.dumps(value, ensure_ascii=False)):
            raise DataError(
                f"{path}:{number}: holds half a character (an escape from \\ud800 to \\udfff without its other half), "
                "which no tokenizer reads; write the text again from its source, as UTF-8."
            )
        if not isinstance(value, dict):
            raise DataError(f"{path}:{number}: a JSON object is expected, this is {type(value).__name__}.")
        yield number, value


def sample_of(line: Mapping[str, Any], where: str) -> Sample:
    """One sample from the object of its line; ``where`` opens the sentence of every DataError."""
    identity = line.get("id")
    if not isinstance(identity, str | int) or isinstance(identity, bool) or identity == "":
        raise DataError(f"{where}: the sample has no id; samples are paired by id, so give each one its own.")
    messages = _messages(line, where)
    choices = _texts(line, "choices", where)
    references = _texts(line, "references", where)
    target = line.get("target")
    index: int | None = None
    if choices:
        index = _target_index(target, choices, where)
    elif target is not None:
        if not isinstance(target, str) or references:
            raise DataError(f"{where}: without choices, give target as one text, or references as a list of texts.")
        references = (target,)
    prompt = line["prompt"] if isinstance(line.get("prompt"), str) else "\n".join(str(m["content"]) for m in messages)
    content = {"prompt": prompt, "messages": messages, "choices": choices, "target": index, "references": references}
    return Sample(
        id=str(identity),
        prompt=prompt,
        messages=messages,
        digest=sample_digest(content),
        choices=choices,
        target=index,
        references=references,
        subject=_label(line, "subject"),
        cluster=_label(line, "cluster"),
    )


def choice_part(samples: SampleSet) -> SampleSet | None:
    """Return the multiple-choice samples of a set, or None where it has none."""
    return _part(samples, tuple(sample for sample in samples if sample.choices))


def text_part(samples: SampleSet) -> SampleSet | None:
    """Return the samples with references in free text, or None where the set has none."""
    return _part(samples, tuple(sample for sample in samples if sample.references))


def subset(samples: SampleSet, limit: int | None, seed: int) -> SampleSet:
    """Return ``limit`` samples chosen by ``seed``, in their own order; all of them without a limit."""
    if limit is None or limit >= len(samples):
        return samples
    chosen = set(random.Random(seed).sample(range(len(samples)), limit))
    kept = tuple(sample for index, sample in enumerate(samples) if index in chosen)
    return replace(samples, samples=kept, limited=True)


def sample_digest(content: Mapping[str, Any]) -> str:
    """Hash everything that a score depends on; 12 hex digits, enough for any set that fits in memory."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _part(samples: SampleSet, kept: tuple[Sample, ...]) -> SampleSet | None:
    return replace(samples, samples=kept) if kept else None


def _label(line: Mapping[str, Any], key: str) -> str:
    label = line.get(key)
    return "" if label is None else str(label)


def _messages(line: Mapping[str, Any], where: str) -> Messages:
    if "messages" not in line:
        prompt = line.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise DataError(f"{where}: the sample has neither prompt nor messages; give one of them.")
        return ({"role": "user", "content": prompt},)
    messages = line["messages"]
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{where}: messages must be a list with at least one message.")
    for position, message in enumerate(messages):
        well_formed = isinstance(message, dict) and isinstance(message.get("role"), str)
        if not well_formed or not isinstance(message.get("content"), str):
            raise DataError(f"{where}: messages[{position}] needs a role and a content, both text.")
    if messages[-1]["role"] == "assistant":
        raise DataError(f"{where}: messages end with the assistant's turn; put the gold answer into references.")
    return tuple(messages)


def _texts(line: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    texts = line.get(key)
    if texts is None:
        return ()
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise DataError(f"{where}: {key} must be a list of texts, none of them empty.")
    if key == "choices" and len(texts) < 2:
        raise DataError(f"{where}: choices has {len(texts)} entries; a choice needs at least two.")
    if key == "references" and not texts:
        raise DataError(f"{where}: references is an empty list; give at least one text.")
    return tuple(texts)


def _target_index(target: Any, choices: tuple[str, ...], where: str) -> int:
    if target is None:
        raise DataError(f"{where}: the sample has choices but no target; give the right one's index or its text.")
    if isinstance(target, str):
        if choices.count(target) != 1:
            raise DataError(f"{where}: target {target!r} is {choices.count(target)} times among the choices, not once.")
        return choices.index(target)
    if isinstance(target, bool) or not isinstance(target, int):
        raise DataError(f"{where}: target must be an index or a text, this is {type(target).__name__}.")
    if not 0 <= target < len(choices):
        raise DataError(f"{where}: target {target} is outside the {len(choices)} choices, which count from 0.")
    return target
