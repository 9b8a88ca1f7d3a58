"""The subjects of the sets that have them: as their files are called, and as their prompts write them."""

from __future__ import annotations

import json
from pathlib import Path

SUBJECTS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("subjects.json").read_text(encoding="utf-8"))
