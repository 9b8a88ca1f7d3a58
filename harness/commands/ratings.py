"""``python -m harness ratings``: a blinded sheet for people to fill in, and the same sheet rated by a judge model."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from harness.errors import UsageError
from harness.once import default_cache
from harness.report.text import visible

if TYPE_CHECKING:
    from harness.models.base import Completion
    from harness.models.local import LocalModel
    from harness.ratings.asking import Contest
    from harness.ratings.judged import JudgeRecord
    from harness.ratings.sheet import Sheet
    from harness.records import SampleSet

PAGE, TABLE = "sheet.html", "sheet.csv"

Part = Callable[[argparse.Namespace, Console], tuple[Iterable[str], bool]]
"""What one part of the command says at its end, and whether its result may be used."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command, its two parts and their options."""
    parser = commands.add_parser("ratings", help="let people, or a judge model, compare tuned and base answers")
    parts = parser.add_subparsers(metavar="PART", required=True)
    _add_sheet(parts.add_parser("sheet", help="ask both models and write a blinded side-by-side sheet"))
    _add_judge(parts.add_parser("judge", help="let a judge model rate a sheet"))


def _add_sheet(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="REF", help="the tuned model, as pytest's --model takes it")
    add("--base-model", metavar="REF", help="what it was tuned from; default: the adapter's or the training's base")
    add("--samples", required=True, type=Path, metavar="FILE", help="questions (JSONL), with or without references")
    add("--output", type=Path, default=Path("ratings"), metavar="DIR", help="where the sheet goes (%(default)s)")
    add("--limit", type=int, metavar="N", help="a seeded subset of N samples")
    add("--seed", type=int, default=0, metavar="S", help="seed of --limit's subset (%(default)s)")
    add("--max-new-tokens", type=int, metavar="N", help="of an answer; default: what the suites ask with")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    add("--offline", action="store_true", help="no network at all; an error where one would be needed")
    add("--cache-dir", type=Path, default=default_cache(), metavar="DIR", help="default: %(default)s")
    parser.set_defaults(run=lambda options: _run(_sheet, options))


def _add_judge(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("sheet", type=Path, metavar="SHEET", help="the folder that 'ratings sheet' wrote, or a file in it")
    add("--judge", required=True, metavar="URL#MODEL", help="an OpenAI-compatible address: http://host:port/v1#model")
    add("--output", type=Path, metavar="FILE", help="the ratings (default: ratings-judge.json in the sheet's folder)")
    add("--api-key-env", metavar="NAME", help="the environment variable that holds the server's key")
    add("--timeout", type=float, default=120.0, metavar="S", help="seconds for one attempt (%(default)s)")
    add("--anchors", type=Path, metavar="FILE", help="ask these again, and refuse a judge that has changed since")
    add("--record-anchors", type=Path, metavar="FILE", help="freeze this run's first pairs as anchors for later runs")
    goes_on = "the same command goes on with what was judged already"
    parser.set_defaults(run=lambda options: _run(_judge, options), interrupted=goes_on)


def _run(part: Part, options: argparse.Namespace) -> int:
    """Do one part; 0 when it is done, 1 where its result is not to be used."""
    told, sound = part(options, Console(stderr=True))
    for line in told:
        Console(file=sys.stdout, highlight=False).print(Text(visible(line, keep="")), soft_wrap=True)
    return 0 if sound else 1


def _sheet(options: argparse.Namespace, screen: Console) -> tuple[Iterable[str], bool]:
    for name in ("limit", "max_new_tokens"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: a whole number of 1 or more.")
    from harness.ratings.documents import write_whole
    from harness.ratings.key import KEY, write_key
    from harness.ratings.page import to_page
    from harness.ratings.table import to_csv
    from harness.samples import read_samples, subset

    folder: Path = options.output
    if there := [name for name in (KEY, PAGE, TABLE) if (folder / name).exists()]:
        raise UsageError(f"{folder / there[0]}: is there already, and may be being rated; name another --output.")
    samples = subset(read_samples(options.samples), options.limit, options.seed)
    sheet, cut = _asked(options, samples, screen)
    write_key(sheet, folder / KEY)
    write_whole(folder / PAGE, to_page(sheet))
    write_whole(folder / TABLE, to_csv(sheet))
    return _told_of_sheet(sheet, folder, cut), True


def _asked(options: argparse.Namespace, samples: SampleSet, screen: Console) -> tuple[Sheet, dict[str, int]]:
    """The sheet of both models' greedy answers, and how many answers of each were cut off."""
    from harness.metrics.answers import greedy_answers
    from harness.models.fetch import Access
    from harness.models.load import LoadOptions, load
    from harness.models.resident import Residents
    from harness.plugin.named_models import model_tuned_from
    from harness.ratings.key import BASE, TUNED
    from harness.ratings.sheet import blinded, pairs_of
    from harness.references import CAUTIOUS, parse_reference
    from harness.training.data import without_bars

    ref = parse_reference(options.model)
    base_ref = model_tuned_from(options.base_model, ref, None, CAUTIOUS)
    if base_ref is None:
        raise UsageError(f"{options.model}: nothing says what it was tuned from; name it with --base-model.")
    access = Access(options.cache_dir, options.offline)
    with Progress(console=screen, transient=True) as progress, without_bars():

        def track(batches: Sequence[Any], description: str) -> Iterable[Any]:
            return progress.track(batches, description=description)

        def ask(model: LocalModel) -> dict[str, Completion]:
            return greedy_answers(model, samples, max_new_tokens=options.max_new_tokens)

        loading = LoadOptions(access, device=options.device, residents=Residents(), track=track)
        tuned = load(ref, replace(loading, base=base_ref))
        base = load(base_ref, replace(loading, template_of=tuned.tokenizer))
        answers = {TUNED: ask(tuned), BASE: ask(base)}
    models = {role: {"name": model.name, **model.digests} for role, model in ((TUNED, tuned), (BASE, base))}
    pairs = pairs_of(samples, answers[TUNED], answers[BASE])
    cut = {role: sum(each.finish == "length" for each in said.values()) for role, said in answers.items()}
    return blinded(samples.name, pairs, models, secrets.token_hex(16), limited=samples.limited), cut


def _told_of_sheet(sheet: Sheet, folder: Path, cut: dict[str, int]) -> Iterator[str]:
    yield f"pairs    {len(sheet.items)} to rate; {len(sheet.same)} hold the same answer twice and count as ties"
    for role, count in cut.items():
        if count:
            yield f"cut off  {count} answers of the {role} model, at the limit of new tokens; see --max-new-tokens"
    yield f"give     {folder / PAGE} or {folder / TABLE} to the raters, and nothing else of {folder}"
    yield f"keep     {folder / 'key.json'}: it says which side is whose"
    yield f"next     pytest suites/ --model MODEL --ratings {folder / 'ratings-NAME.json'}"


def _judge(options: argparse.Namespace, screen: Console) -> tuple[Iterable[str], bool]:
    from harness.ratings.anchors import read_anchors
    from harness.ratings.judge import Wanted, judge_sheet
    from harness.ratings.key import KEY, read_key
    from harness.ratings.server import Limits, Server, judge_address

    if not 0 < options.timeout <= 3600:
        raise UsageError(f"--timeout {options.timeout:g}: seconds from 0 to 3600 are expected.")
    address = judge_address(options.judge)
    folder = options.sheet if options.sheet.is_dir() else options.sheet.parent
    output = options.output or folder / "ratings-judge.json"
    wanted = Wanted(
        sheet=read_key(folder / KEY),
        output=output,
        anchors=() if options.anchors is None else read_anchors(options.anchors, address.model),
        record_anchors=options.record_anchors,
    )
    server = Server(address, _key(options.api_key_env), Limits(seconds=options.timeout))
    with Progress(console=screen, transient=True) as progress:

        def track(contests: Sequence[Contest]) -> Iterable[Contest]:
            return progress.track(contests, description="judging")

        record = judge_sheet(wanted, server, track)
    return _told_of_judge(record, output), not record.problems


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise UsageError(f"--api-key-env {variable}: the variable holds no key; set it, or leave the option out.")
    return key


def _told_of_judge(record: JudgeRecord, output: Path) -> Iterator[str]:
    yield f"judge    {record.name} at {record.address}, prompt {record.prompt}; served: {', '.join(record.served)}"
    for name, orders in record.orders.items():
        yield (
            f"orders   {name}: {orders.agreed} of {orders.asked} pairs agree; the first answer was preferred in both "
            f"{orders.first} times, the second {orders.second} times, otherwise {orders.other}"
        )
        if orders.problem:
            yield f"invalid  {name}: {orders.problem}"
    for reason, count in sorted(record.unusable.items()):
        yield f"no use   {count} pairs: {reason}"
    yield from (f"anchors  {line}" for line in record.told)
    yield from (f"invalid  {problem}" for problem in record.problems)
    yield f"ratings  {output}"
    yield f"next     pytest suites/ --model MODEL --ratings {output}"
