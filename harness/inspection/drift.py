"""The template of today against those that were recorded: another one makes another model for its users.

What is compared is what the template writes and takes: a comment, ``{% generation %}`` marks and another day are no
drift, and neither is the base model's template, which an instruct-tuned model rightly leaves behind.
"""

from __future__ import annotations

from harness.chat.record import CHAT, TEMPLATE, Change, chat_record, what_changed
from harness.inspection.checkpoint import Checkpoint
from harness.records import Finding

SHOWN_HABITS = 4
"""Changed habits that a finding names before it only counts."""


def template_is_the_recorded_one(saved: Checkpoint) -> list[Finding]:
    """One finding for every record that was made with another template: of a baseline, or of the training."""
    now = (
        chat_record(saved.tokenizer, saved.habits) if any(CHAT in record for record in saved.recorded.values()) else {}
    )
    findings = []
    for label, record in saved.recorded.items():
        change = what_changed(record.get(CHAT, {}), now)
        digest = str(record.get(TEMPLATE, saved.habits.digest))
        if change or digest != saved.habits.digest:
            findings.append(_finding(label, change, digest, saved.habits.digest))
    return findings


def _finding(label: str, change: Change, digest: str, today: str) -> Finding:
    recorded = [f"{habit}: {was}" for habit, was, _ in change.habits[:SHOWN_HABITS]]
    found = [f"{habit}: {now}" for habit, _, now in change.habits[:SHOWN_HABITS]]
    if not change:
        recorded, found = [f"the digest {digest}"], [f"the digest {today or '(no template)'}"]
    more = len(change.habits) - SHOWN_HABITS
    return Finding(
        "the chat template is not the one that was recorded",
        f"{label}; {change.where}" if change.where else label,
        "; ".join([*([change.was] if change.was else []), *recorded]),
        "; ".join([*([change.now] if change.now else []), *found]) + (f"; and {more} more habits" if more > 0 else ""),
        "put the recorded template back beside the tokenizer (save the trainer's processing_class with the model); "
        "where a change since a baseline is meant, record it again with --baseline-update",
    )
