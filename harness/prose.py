"""Plain prose for perplexity that every machine has: help texts of Python's own language reference."""

from __future__ import annotations

from harness.records import Sample, SampleSet
from harness.samples import sample_digest

TOPICS = [
    "assert",
    "bitwise",
    "bltin-code-objects",
    "bltin-ellipsis-object",
    "bltin-null-object",
    "bltin-type-objects",
    "booleans",
    "break",
    "callable-types",
    "calls",
    "comparisons",
    "context-managers",
    "continue",
    "del",
    "dynamic-features",
    "exceptions",
    "for",
    "global",
    "id-classes",
    "if",
    "import",
    "in",
    "integers",
    "lambda",
    "operator-summary",
    "pass",
    "return",
    "slicings",
    "typesfunctions",
    "typesmodules",
    "unary",
    "while",
    "with",
    "yield",
]
"""Of ``pydoc_data.topics``, those whose text is the same in Python 3.11, 3.12 and 3.13 (``else`` is ``if`` once more).

A baseline holds across these versions; where another version words a topic differently, its digest says so.
"""

LONGEST = 2000
"""Characters of a topic; a few topics are ten times as long as the others and would outweigh them."""


def python_prose() -> SampleSet:
    """One sample a topic, its text as ``prompt``."""
    from pydoc_data.topics import topics

    texts = {name: topics[name][:LONGEST] for name in TOPICS if name in topics}
    return SampleSet(
        "python_prose",
        tuple(Sample(name, text, (), sample_digest({"text": text})) for name, text in texts.items()),
        origin="pydoc_data.topics",
    )
