"""The fixtures that suites are written with. Heavy imports stay inside, so that collection is light."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.collecting import bundled_samples
from harness.plugin.judging import decide
from harness.plugin.options import Options
from harness.plugin.progress import tracker, training_bar
from harness.plugin.state import CASE, OPTIONS, PROCESS
from harness.prose import python_prose
from harness.records import Finding, Measurement, RowPreview, SampleSet, SideBySide
from harness.references import ModelRef
from harness.samples import subset

if TYPE_CHECKING:
    from harness.chat.probe import ChatProbe
    from harness.models.base import Completion
    from harness.models.load import LoadOptions
    from harness.models.local import LocalModel
    from harness.training.recipe import Recipe

SHOWN_FINDINGS = 5
SHOWN_ANSWERS = 5


@pytest.fixture(scope="session")
def recipe(pytestconfig: pytest.Config) -> Recipe | None:
    """The recipe that ``--recipe`` names, checked.

    It is read once and before any trainer is built: reading it makes trl's arguments, and these reset the state that
    accelerate shares with every trainer of the process.
    """
    path = pytestconfig.stash[OPTIONS].recipe
    if path is None:
        return None
    from harness.training.recipe import load_recipe

    return load_recipe(path)


@pytest.fixture(scope="session")
def model(pytestconfig: pytest.Config, recipe: Recipe | None) -> LocalModel:
    """The model under test: ``--model``, or what ``--recipe`` trains."""
    from harness.models.load import load

    ref = pytestconfig.stash[OPTIONS].model if recipe is None else _trained(recipe, pytestconfig)
    assert ref is not None
    loaded = load(ref, _load_options(pytestconfig))
    _remember(pytestconfig, "model", loaded)
    return loaded


@pytest.fixture(scope="session")
def base_model(pytestconfig: pytest.Config, model: LocalModel) -> LocalModel | None:
    """What the model was tuned from, or None where that is not known.

    A base whose tokenizer brings no chat template is asked with the tuned model's, so that both see the same prompts.
    """
    from harness.models.load import load

    options = pytestconfig.stash[OPTIONS]
    if options.base_model is None:
        return None
    loaded = load(options.base_model, replace(_load_options(pytestconfig), template_of=model.tokenizer))
    _remember(pytestconfig, "base model", loaded)
    return loaded


@pytest.fixture(scope="session")
def tokenizer(model: LocalModel) -> Any:
    """The tokenizer of the model under test, with a chat template and a pad token in any case."""
    return model.tokenizer


@pytest.fixture(scope="session")
def chat_probe(tokenizer: Any) -> ChatProbe:
    """What the tokenizer's chat template does, found by rendering."""
    from harness.chat.probe import probe

    return probe(tokenizer)


@pytest.fixture(scope="session")
def recorded_templates(pytestconfig: pytest.Config) -> dict[str, str]:
    """The digest of the chat template that each named baseline was recorded with, by the baseline's label."""
    found = {}
    for baseline in pytestconfig.stash[OPTIONS].compare:
        recorded = baseline.environment.get("model")
        if isinstance(recorded, Mapping) and "template" in recorded:
            found[f"baseline {baseline.name}"] = str(recorded["template"])
    return found


@pytest.fixture(scope="session")
def stop_ids(model: LocalModel) -> frozenset[int]:
    """The ids at which the model under test stops, as its generation config says."""
    return model.stop_ids


@pytest.fixture(scope="session")
def vocab_rows(model: LocalModel) -> int:
    """How many rows the embedding of the model under test has."""
    return int(model.module.get_input_embeddings().weight.shape[0])


@pytest.fixture(scope="session")
def training_rows(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, recipe: Recipe | None
) -> list[dict[str, Any]] | None:
    """The raw rows behind the trainer; None where they are the user's trainer's own business."""
    from harness.rows import read_rows

    options = pytestconfig.stash[OPTIONS]
    if recipe is not None:
        from harness.training.data import training_rows_of

        return training_rows_of(recipe, offline=options.offline)
    if options.train_data is not None:
        return read_rows(options.train_data)
    if options.trainer is not None:
        return None
    return _bundled_rows(request.getfixturevalue("tokenizer"), pytestconfig)


@pytest.fixture(scope="session")
def trainer(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    recipe: Recipe | None,
) -> Any:
    """The trainer whose batches are inspected: the recipe's, the user's own, or trl's over the rows at hand."""
    options = pytestconfig.stash[OPTIONS]
    if recipe is not None:
        from harness.training.trainer import build_trainer

        return build_trainer(recipe, _resolver(options), tmp_path_factory.mktemp("trainer"), offline=options.offline)
    if options.trainer is not None:
        from harness.training.users import users_trainer

        return users_trainer(options.trainer, options.root)
    from harness.training.stand_in import stand_in_trainer

    return stand_in_trainer(request.getfixturevalue("tokenizer"), request.getfixturevalue("training_rows"))


@pytest.fixture
def gate(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Judge a measurement: ``gate(measurement, against=the base model's, margin=0.02)``.

    It is compared with every named baseline and, where given, with the base model's measurement.
    """

    def decide_on(measurement: Measurement, *, against: Measurement | None = None, margin: float | None = None) -> None:
        decide(request.node, measurement, against, margin)

    return decide_on


@pytest.fixture
def samples(request: pytest.FixtureRequest) -> Callable[[str], SampleSet]:
    """Read a bundled sample set: ``samples("stopping.jsonl")`` from ``data/`` beside the case, cut to ``--limit``."""
    return lambda name: bundled_samples(request.path, name, request.config.stash[OPTIONS])


@pytest.fixture(scope="session")
def prose(pytestconfig: pytest.Config) -> SampleSet:
    """Plain English prose for perplexity, cut to ``--limit``."""
    options = pytestconfig.stash[OPTIONS]
    return subset(python_prose(), options.limit, options.seed)


@pytest.fixture(scope="session")
def control_tokens(tokenizer: Any) -> dict[int, str]:
    """The special tokens by id: those that structure a conversation and have no place inside an answer."""
    return {token_id: str(token) for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}


@pytest.fixture
def chat_choices(pytestconfig: pytest.Config) -> bool:
    """Whether multiple choice goes through the chat template (``--apply-chat-template``)."""
    return pytestconfig.stash[OPTIONS].chat_choices


@pytest.fixture
def no_findings() -> Callable[[Sequence[Finding]], None]:
    """Fail with the first findings spelled out, and the number of the others."""

    def require(findings: Sequence[Finding]) -> None:
        if findings:
            shown = [str(finding) for finding in findings[:SHOWN_FINDINGS]]
            more = len(findings) - len(shown)
            pytest.fail("\n".join([*shown, f"and {more} more like these"] if more else shown), pytrace=False)

    return require


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say something in the report that is worth knowing and no failure."""
    notes: list[str] = request.node.stash[CASE].notes
    return notes.append


@pytest.fixture
def answers(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Show a few questions, spread over the sample set, with the base's and the tuned model's answers side by side."""

    def show(asked: SampleSet, tuned: Mapping[str, Completion], base: Mapping[str, Completion] | None = None) -> None:
        request.node.stash[CASE].answers += [
            SideBySide(each.prompt, tuned[each.id].text, base[each.id].text if base else None, each.references)
            for each in asked.samples[:: max(1, len(asked) // SHOWN_ANSWERS)][:SHOWN_ANSWERS]
        ]

    return show


@pytest.fixture
def show_rows(request: pytest.FixtureRequest) -> Callable[[Sequence[RowPreview]], None]:
    """Put a preview of training rows into the report."""
    rows: list[RowPreview] = request.node.stash[CASE].rows
    return rows.extend


def _bundled_rows(tokenizer: Any, config: pytest.Config) -> list[dict[str, Any]]:
    """The project's own rows, less those that this template refuses (a system role, say, is not for every model)."""
    from harness.chat.frame import REFUSALS
    from harness.chat.template import render
    from harness.rows import read_rows

    def is_taken(row: Mapping[str, Any]) -> bool:
        try:
            render(tokenizer, row["messages"])
        except REFUSALS:
            return False
        return True

    rows = read_rows(config.rootpath / "suites" / "data" / "training_rows.jsonl")
    taken = [row for row in rows if is_taken(row)]
    if len(taken) < len(rows):
        config.stash[PROCESS].notes.append(f"the template refuses {len(rows) - len(taken)} of {len(rows)} bundled rows")
    return taken


def _load_options(config: pytest.Config) -> LoadOptions:
    from harness.models.fetch import Access
    from harness.models.load import LoadOptions

    _share_cores(config)
    options = config.stash[OPTIONS]
    return LoadOptions(
        access=Access(options.cache, options.offline),
        base=options.base_model,
        device=options.device,
        dtype=options.dtype,
        batch_size=options.batch_size,
        trust=options.trust,
        track=tracker(config),
    )


def _share_cores(config: pytest.Config) -> None:
    """Let xdist's workers divide the cores: threads that wait for each other's cores are ten times slower."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // int(worker["workercount"])))


def _resolver(options: Options) -> Callable[[str], str]:
    """Turn a reference text of a recipe into a folder that transformers loads."""
    from harness.models.fetch import Access, checkpoint_folder
    from harness.references import parse_reference

    access = Access(options.cache, options.offline)
    return lambda text: str(checkpoint_folder(parse_reference(text, options.trust), access))


def _trained(recipe: Recipe, config: pytest.Config) -> ModelRef:
    """Train as the recipe says, or find what an earlier run has trained, and say where it is kept."""
    from harness.references import parse_reference
    from harness.training.run import train

    options = config.stash[OPTIONS]
    with training_bar(config) as progress:
        done = train(recipe, _resolver(options), options.cache, progress, offline=options.offline)
    config.stash[PROCESS].notes.append(f"trained as {recipe.path} says, kept in {done.folder}")
    return replace(parse_reference(str(done.folder)), text=str(recipe.path))


def _remember(config: pytest.Config, role: str, loaded: LocalModel) -> None:
    """Keep what the report says of a model: its digests, where it runs, and what had to be assumed."""
    records = config.stash[PROCESS]
    records.notes += [note for note in loaded.notes if note not in records.notes]
    records.environment[role] = {"name": loaded.name, **loaded.digests}
    records.environment["device"] = str(loaded.module.device)
    records.environment["dtype"] = str(loaded.module.dtype).removeprefix("torch.")
