"""The template of today against the templates that were recorded: another one means another model to its users."""

from __future__ import annotations

from collections.abc import Mapping

from harness.chat.probe import ChatProbe
from harness.records import Finding


def template_is_the_recorded_one(habits: ChatProbe, recorded: Mapping[str, str]) -> list[Finding]:
    """One finding for every record (label -> template digest) that was made with another template."""
    return [
        Finding(
            "the chat template is not the one that was recorded",
            label,
            f"digest {digest}",
            f"digest {habits.digest}",
            "put the recorded chat_template.jinja back beside the tokenizer; where the change is meant, "
            "record the baseline again with --baseline-update",
        )
        for label, digest in recorded.items()
        if digest != habits.digest
    ]
