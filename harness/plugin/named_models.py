"""Which models the command line names: the one under test, what it was tuned from, and what it must be equal to."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.plugin.arguments import DEFAULT_MODEL
from harness.references import Kind, ModelRef, Trust, adapter_base, parse_reference, trained_from
from harness.training.recipe import base_reference


def model_under_test(text: str | None, recipe: Path | None, trainer: str | None, trust: Trust) -> ModelRef | None:
    """The demo where nothing is named; None where a recipe trains it or there is only a trainer."""
    if text is None:
        return None if recipe or trainer else parse_reference(DEFAULT_MODEL, trust)
    if recipe:
        raise UsageError("--model and --recipe both name the model under test; give one of them.")
    return parse_reference(text, trust)


def model_tuned_from(text: str | None, model: ModelRef | None, recipe: Path | None, trust: Trust) -> ModelRef | None:
    """Without --base-model: the adapter's base, what the training manifest names, or the demo's own base."""
    if text is not None:
        return parse_reference(text, trust)
    if recipe is not None:
        return parse_reference(base_reference(recipe), trust)
    if model is None:
        return None
    if model.kind is Kind.DEMO:
        return parse_reference("demo:base", trust)
    if model.kind is Kind.ADAPTER:
        return _base_of_adapter(model, trust)
    base = trained_from(Path(model.location)) if model.kind is Kind.CHECKPOINT else None
    return parse_reference(base, trust) if base else None


def model_to_equal(text: str | None, model: ModelRef | None, trust: Trust) -> ModelRef | None:
    """The other model of ``--same-as``, which is never the one under test itself."""
    if text is None:
        return None
    if model is None:
        raise UsageError("--same-as says what --model must be equal to; give it with --model.")
    same = parse_reference(text, trust)
    if (same.kind, same.location, same.revision) == (model.kind, model.location, model.revision):
        raise UsageError(f"--same-as {text}: this is --model itself; name what it was made from.")
    return same


def _base_of_adapter(model: ModelRef, trust: Trust) -> ModelRef:
    named = adapter_base(Path(model.location))
    try:
        return parse_reference(named, trust)
    except UsageError as error:
        raise UsageError(
            f"{model.text}: its adapter_config.json names the base {named!r}, which cannot be used ({error}); "
            "say where it is with --base-model."
        ) from None
