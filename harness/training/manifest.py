"""What is written beside a trained model: how its training went, in numbers that can be read in a diff."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer

from harness.training.remedies import remedies_of

if TYPE_CHECKING:
    from trl import SFTTrainer

MIB = 2**20


def course(trainer: SFTTrainer, rows: int, seconds: float) -> dict[str, Any]:
    """Tell how a run went, ``rows`` of which were read and which took ``seconds``.

    ``tokens`` and ``supervised_tokens`` count one pass over the rows; ``tokens_per_second`` all that were computed,
    padding left out; ``peak_rss_mib`` is the most that this process has ever held; ``dtype`` is that of the trained
    weights.
    """
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    data, model = trainer.train_dataset, trainer.model
    remedies = remedies_of(trainer)
    tokens = sum(len(ids) for ids in data["input_ids"])
    return {
        "method": method_of(model),
        "seed": trainer.args.seed,
        "rows": rows,
        "rows_dropped": 0 if trainer.args.packing or "replay" in remedies else rows - len(data),
        "tokens": tokens,
        "supervised_tokens": sum(label != -100 for labels in data["labels"] for label in labels),
        "steps": trainer.state.global_step,
        "epochs": round(float(trainer.state.epoch or 0), 3),
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens * float(trainer.state.epoch or 0) / seconds, 1),
        "losses": [round(loss, 5) for loss in losses],
        "peak_rss_mib": peak_rss_mib(),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "parameters_trained": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "dtype": ", ".join(sorted({_dtype(weight) for weight in model.parameters() if weight.requires_grad})),
        "precision": precision(trainer.args),
        "adapter_scaling": adapter_scaling(model),
        "threads": torch.get_num_threads(),
        **remedies,
    }


def method_of(model: Any) -> str:
    """``full``, or peft's name of the adapter's method, with what trl's keys add to LoRA."""
    if not isinstance(model, PeftModel):
        return "full"
    config: Any = model.active_peft_config
    added = [name for name in ("use_rslora", "use_dora") if getattr(config, name, False)]
    return " ".join([str(getattr(config.peft_type, "value", config.peft_type)), *added])


def precision(arguments: Any) -> str:
    """What forward passes compute in: autocast where the recipe asks for it, else the weights' own dtype."""
    return "bf16 autocast" if arguments.bf16 else "fp16 autocast" if arguments.fp16 else "as the weights"


def adapter_scaling(model: Any) -> dict[str, float]:
    """By what factor each module's update is multiplied, under the module's name in the base model.

    Empty where the method has no such factor.
    """
    found = {}
    for name, module in model.named_modules():
        scaling = getattr(module, "scaling", None)
        if isinstance(module, BaseTunerLayer) and isinstance(scaling, dict):
            values = [scaling[adapter] for adapter in module.active_adapters if adapter in scaling]
            if values and isinstance(values[0], int | float):
                found[name.removeprefix("base_model.model.")] = float(values[0])
    return found


def peak_rss_mib() -> int:
    """The most memory that this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / MIB if sys.platform == "darwin" else peak * 1024 / MIB)


def _dtype(weight: torch.Tensor) -> str:
    return str(weight.dtype).removeprefix("torch.")
