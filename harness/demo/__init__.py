"""The embedded pair: a tiny base model and its tuned versions, trained from scratch by this package."""

from pathlib import Path

from harness.errors import ModelReferenceError

_WEIGHTS = Path(__file__).parent / "weights"
_NAMES = ("base", "tuned", "tuned-without-replay")


def names() -> tuple[str, ...]:
    """The checkpoints that travel in the package."""
    return _NAMES


def folder(name: str) -> Path:
    """The folder of one embedded checkpoint, as transformers writes it; ModelReferenceError for another name."""
    if name not in _NAMES:
        raise ModelReferenceError(f"demo:{name} is not an embedded model; write one of demo:{', demo:'.join(_NAMES)}.")
    return _WEIGHTS / name
