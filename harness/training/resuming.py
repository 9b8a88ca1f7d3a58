"""Whether an interrupted training of this model could go on with the same losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft import PeftModel, get_peft_model_state_dict

if TYPE_CHECKING:
    from trl import SFTTrainer


def can_go_on(trainer: SFTTrainer) -> bool:
    """Whether what is saved on the way holds all that trains, and the optimizer with it.

    Prefixes that are computed by a network are saved as what comes out of it, so the network itself would be lost.
    """
    if trainer.args.save_only_model:
        return False
    model = trainer.model
    if not isinstance(model, PeftModel):
        return True
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    saved = sum(weight.numel() for weight in get_peft_model_state_dict(model).values())
    return bool(saved >= trained)
