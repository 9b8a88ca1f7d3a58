"""The template of today against the templates that were recorded: another one means another model to its users."""

from __future__ import annotations

from harness.inspection.checkpoint import Checkpoint
from harness.records import Finding


def template_is_the_recorded_one(saved: Checkpoint) -> list[Finding]:
    """One finding for every record that was made with another template."""
    habits = saved.habits
    return [
        Finding(
            "the chat template is not the one that was recorded",
            label,
            f"digest {digest}",
            f"digest {habits.digest}",
            "put the recorded chat_template.jinja back beside the tokenizer; where the change is meant, "
            "record the baseline again with --baseline-update",
        )
        for label, digest in saved.recorded.items()
        if digest != habits.digest
    ]
