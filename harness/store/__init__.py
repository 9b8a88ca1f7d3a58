"""Answers that were paid for once: kept by a key of their content, as bytes, on the disk or in memory.

Nothing here knows what a model is. Whoever asks makes the keys, of everything that an answer depends on, and packs and
unpacks the answers; see ``harness.models.asked``.
"""

from harness.store.disk import Store
from harness.store.memory import Answers, Memory, Nothing

__all__ = ["Answers", "Memory", "Nothing", "Store"]
