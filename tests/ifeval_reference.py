"""lm-eval's IFEval checkers, made to run without a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nltk
import pytest

from harness.metrics import instruction_rules_words as words


@contextmanager
def checkers_of_lm_eval() -> Iterator[Any]:
    """Their module. It gets the sentences of the rules here, since nltk would load its model over the network."""
    tokenizer = words.sentences()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "find", lambda name: name)
        patch.setattr(nltk.tokenize, "_get_punkt_tokenizer", lambda language: tokenizer)
        patch.setattr("langdetect.detector_factory.DetectorFactory.seed", 0)
        from lm_eval.tasks.ifeval import instructions_util, utils

        patch.setattr(instructions_util, "_get_sentence_tokenizer", lambda: tokenizer)
        yield utils
