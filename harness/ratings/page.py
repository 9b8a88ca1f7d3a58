"""A sheet as one web page: no network, no framework, and nothing in a model's text that a browser would act on."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources

from harness.ratings.documents import VERSION
from harness.ratings.filled import RATINGS
from harness.ratings.rubric import CRITERIA
from harness.ratings.sheet import Sheet


def to_page(sheet: Sheet) -> str:
    """The page. The browser runs the one script that is named by its digest, whatever else the answers hold."""
    script, style = _part("page.js"), _part("page.css")
    policy = (
        f"default-src 'none'; script-src '{_source(script)}'; style-src '{_source(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": html.escape(policy),
        "TITLE": html.escape(sheet.name),
        "STYLE": style,
        "SCRIPT": script,
        "SHEET": _embedded(sheet),
    }
    # In one pass: a text on the sheet may itself look like a place to be filled.
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], _part("page.html"))


def _embedded(sheet: Sheet) -> str:
    """The sheet as JSON that no HTML parser sees an end, or a tag, in."""
    content = {
        "format": RATINGS,
        "version": VERSION,
        "digest": sheet.digest,
        "criteria": dict(CRITERIA),
        "items": [
            {"item": item.id, "digest": item.digest, "prompt": item.pair.prompt, "left": item.left, "right": item.right}
            for item in sheet.items
        ],
    }
    text = json.dumps(content, ensure_ascii=False)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _part(name: str) -> str:
    return resources.files("harness.ratings").joinpath(name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
