"""What a trainer would leave behind beside the weights: saved into a folder for a moment, loaded again, compared."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.chat.control import name_token
from harness.chat.template import template_digest
from harness.inspection.matching import Inspection
from harness.inspection.reload import SPECIAL
from harness.models.stated_ids import id_set
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer


def saving_keeps_the_stop_ids(trainer: Trainer, seen: Inspection) -> list[Finding]:
    """What ``save_model`` would write stops where the template ends a turn, and is the tokenizer that was trained.

    No weight is written. An adapter is saved without a generation config: what counts then is its base model's, as far
    as that is at hand. The tokenizer's eos token counts as a stop id throughout, since ``train`` adds it.
    """
    tokenizer, model = seen.serving, trainer.model
    generation = getattr(model, "generation_config", None)
    with TemporaryDirectory(prefix="pytest-sft-") as place:
        folder = Path(place)
        try:
            again = _tokenizer_again(tokenizer, folder)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            return [_changed("the tokenizer", "a tokenizer that can be loaded again", reason[:200])]
        kept = _generation_again(model, folder)
    findings = _tokenizer_is_kept(tokenizer, again)
    if generation is None or kept is None or seen.plain or seen.habits.terminator_id is None:
        return findings
    has = id_set(getattr(generation, "eos_token_id", None))
    stops = id_set(getattr(kept, "eos_token_id", None)) | id_set(again.eos_token_id)
    return [*findings, *_stops_are_kept(tokenizer, has, stops, seen.habits.terminator_id)]


def _tokenizer_again(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    copy.deepcopy(tokenizer).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _generation_again(model: Any, folder: Path) -> Any:
    """The generation config of the model as it would be loaded; None where its base is not at hand."""
    from transformers import GenerationConfig

    adapters = getattr(model, "peft_config", None)
    if adapters:
        base = next(iter(adapters.values())).base_model_name_or_path
        try:
            return GenerationConfig.from_pretrained(base, local_files_only=True) if base else None
        except (OSError, ValueError):
            return None
    if getattr(model, "generation_config", None) is None:
        return None
    try:
        copy.deepcopy(model.generation_config).save_pretrained(folder)
    except ValueError:  # settings that contradict each other: save_model() refuses them in its own words
        return None
    return GenerationConfig.from_pretrained(folder, local_files_only=True)


def _tokenizer_is_kept(tokenizer: PreTrainedTokenizerBase, again: PreTrainedTokenizerBase) -> list[Finding]:
    findings = [
        _changed(f"the tokenizer's {name}", f"{getattr(tokenizer, name)}", f"{getattr(again, name)}")
        for name in SPECIAL
        if getattr(tokenizer, name) != getattr(again, name)
    ]
    before, after = template_digest(tokenizer), template_digest(again)
    if before != after:
        findings.append(_changed("the chat template", f"digest {before}", f"digest {after}" if after else "none"))
    return findings


def _changed(what: str, expected: str, found: str) -> Finding:
    return Finding(
        f"{what} is lost when the model is saved",
        "the files that trainer.save_model() writes",
        expected,
        f"{found}, after loading them again",
        "set it on the tokenizer that is given to the trainer as processing_class, and save with the transformers "
        "version that loads it",
    )


def _stops_are_kept(
    tokenizer: PreTrainedTokenizerBase, has: frozenset[int], stops: frozenset[int], terminator: int
) -> list[Finding]:
    lost = sorted(has - stops)
    if lost:
        return [_runs_on(tokenizer, lost, stops, "the stop ids that the trainer's model has")]
    if terminator in stops:
        return []
    return [_runs_on(tokenizer, [terminator], stops, "the token that ends an assistant turn in the template")]


def _runs_on(tokenizer: PreTrainedTokenizerBase, wanted: list[int], stops: frozenset[int], what: str) -> Finding:
    return Finding(
        "the saved model will not stop where its training rows end a turn",
        "eos_token_id in the generation_config.json that the saved model is loaded with",
        f"{what}: {', '.join(name_token(tokenizer, i) for i in wanted)}",
        ", ".join(name_token(tokenizer, i) for i in sorted(stops) if i < len(tokenizer)) or "no stop id",
        f"set model.generation_config.eos_token_id = {sorted({*stops, *wanted})} before training, and save the "
        "generation config beside an adapter",
    )
