"""IFEval's rules, held to lm-eval's checkers: every rule, on many answers that are near to following it."""

from __future__ import annotations

import random
import sys

import pytest

from harness.errors import DataError, UsageError
from harness.metrics import instruction_rules_words as words
from harness.metrics.instructions import RULES, followed_loosely, followed_strictly, instructions_of
from ifeval_reference import checkers_of_lm_eval

for package in ("punkt", "langdetect", "lm_eval", "immutabledict"):
    pytest.importorskip(package)

ANSWERS = 300

GIVEN = {
    "keywords:existence": {"keywords": ["river", "bo.t"]},
    "keywords:frequency": {"keyword": " river ", "relation": "at least", "frequency": 2},
    "keywords:forbidden_words": {"forbidden_words": ["boat", "gate", "boat"]},
    "keywords:letter_frequency": {"letter": "T", "let_relation": "less than", "let_frequency": 14},
    "language:response_language": {"language": "de"},
    "length_constraints:number_sentences": {"relation": "less than", "num_sentences": 5},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_words": {"relation": "at least", "num_words": 22},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "River"},
    "detectable_content:number_placeholders": {"num_placeholders": 2},
    "detectable_content:postscript": {"postscript_marker": "P.P.S"},
    "detectable_format:number_bullet_lists": {"num_bullets": 2},
    "detectable_format:constrained_response": {},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_format:multiple_sections": {"section_spliter": "SECTION", "num_sections": 2},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "Where is the river?"},
    "startend:end_checker": {"end_phrase": "The river is wide."},
    "startend:quotation": {},
    "change_case:capital_word_frequency": {"capital_frequency": 3, "capital_relation": "at least"},
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "punctuation:no_comma": {},
}
MORE = [
    ("keywords:frequency", {"keyword": "gate", "relation": "less than", "frequency": 1}),
    ("keywords:letter_frequency", {"letter": "q", "let_relation": "at least", "let_frequency": 1}),
    ("language:response_language", {"language": "en"}),
    ("language:response_language", {"language": "ar"}),
    ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 3}),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 3, "nth_paragraph": 1, "first_word": "the"}),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}),
    ("detectable_content:postscript", {"postscript_marker": "Note:"}),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "less than"}),
]
CASES = [*GIVEN.items(), *MORE]

PIECES = """Where is the river?|where is the river?|Is it late? Yes! No...|Boats, gates and BOATS|the boat
He saw Dr. Smith of the U.S. Navy at 9 a.m. today.|river, RIVER and Riverside|Der Fluss ist breit und das Tor ist zu.
النهر واسع والبوابة مغلقة.|河很宽。|My answer is no.|my answer is yes|My answer is maybe.|[name]|[a] and [b c]|[open
P.P.S. Bring rope.|P. P. S.|p.s. one more|P.S|P. S. more|Note: more|* one|- two|** bold|*half*|**bold** and *light*
* *|****|***|******|*** ***|SECTION 1|SECTION2|Section 3|SECTION|<<River>>|<< >>|<<a>> b <<c>>|<<|```json|```|```JSON
{"a": [1, 2]}|[]|{"a": }|"|"The river is wide."|"quoted|'The|'"The' river.|THE BOAT|IS WIDE|A-B AND C3.|I.B.M. WON'T
gonna|e.g. a boat|No. 5 is No.|...|1. One. 2. Two.|42|_x_ y_z|naïve café|"He said: 'Go.' (Now.) She went."|Hm,well
The river is wide.""".replace("\n", "|").split("|")
JOINTS = [" ", " ", "\n", "\n\n", "\n\n\n", ", ", "", ".\n", " *** ", "******", "\n- ", "\n* "]


def answers():
    """Pieces in a chance order with chance joints: some of these answers follow a rule, others do not."""
    draw = random.Random(5)
    made = ["", " ", "\n", *PIECES]
    while len(made) < ANSWERS:
        parts = [draw.choice(PIECES) for _ in range(draw.randrange(1, 9))]
        text = "".join(part + draw.choice(JOINTS) for part in parts)
        made.append(draw.choice([text, text, text.strip(), text.upper(), text.lower(), f'"{text.strip()}"']))
    return made


@pytest.fixture(scope="module")
def theirs():
    with checkers_of_lm_eval() as checkers:
        yield checkers


def test_every_rule_has_a_case():
    assert set(GIVEN) == set(RULES)
    assert len(RULES) == 25


@pytest.mark.parametrize(("name", "given"), CASES, ids=[f"{name}-{at}" for at, (name, _) in enumerate(CASES)])
def test_a_rule_decides_as_lm_eval_does(name, given, theirs):
    ours = instructions_of({"instruction_id_list": [name], "kwargs": [given]}, "here")
    asked = theirs.InputExample(key=1, instruction_id_list=[name], prompt="Where is the river?", kwargs=[given])
    seen = set()
    # A language takes twenty times as long to tell as anything else.
    for answer in answers()[:: 8 if name.startswith("language:") else 1]:
        strict = theirs.test_instruction_following_strict(asked, answer).follow_instruction_list
        loose = theirs.test_instruction_following_loose(asked, answer).follow_instruction_list
        assert list(followed_strictly(ours, answer)) == strict, answer
        assert list(followed_loosely(ours, answer)) == loose, answer
        seen.add(strict[0])
    assert seen == {True, False}, "the answers do not try the rule"


def test_a_character_that_is_no_letter_is_counted():
    """lm-eval draws a letter by chance in its place, so its verdict on such a prompt says nothing."""
    given = {"letter": "#", "let_relation": "at least", "let_frequency": 2}
    ours = instructions_of({"instruction_id_list": ["keywords:letter_frequency"], "kwargs": [given]}, "here")
    assert followed_strictly(ours, "# a #") == (True,)
    assert followed_strictly(ours, "# a") == (False,)


def test_an_answer_of_brackets_without_end_is_no_json():
    """lm-eval ends here with a RecursionError."""
    ours = instructions_of({"instruction_id_list": ["detectable_format:json_format"], "kwargs": [{}]}, "here")
    assert followed_strictly(ours, "[" * 200_000) == (False,)


def test_columns_of_other_instructions_are_empty_in_a_table():
    stated = {"num_words": 3, "relation": "at least", "keywords": None, "num_bullets": None}
    (ours,) = instructions_of({"instruction_id_list": ["length_constraints:number_words"], "kwargs": [stated]}, "x")
    assert dict(ours.given) == {"num_words": 3, "relation": "at least"}


@pytest.mark.parametrize(
    ("names", "kwargs", "message"),
    [
        (["punctuation:no_coma"], [{}], r"did you mean punctuation:no_comma\?"),
        (["x"], [{}], r"known are change_case"),
        ([], [], r"lists of one length"),
        (["punctuation:no_comma"], [], r"lists of one length"),
        ("punctuation:no_comma", [{}], r"lists of one length"),
        (
            ["length_constraints:number_words"],
            [{"relation": "at least"}],
            r"'num_words' as a whole number",
        ),
        (["length_constraints:number_words"], [{"relation": "about", "num_words": 3}], r"relations less than and at"),
        (["keywords:existence"], [{"keywords": []}], r"'keywords' as a list of texts"),
        (["keywords:existence"], [{"keywords": [3]}], r"needs texts; it has 3"),
        (["keywords:existence"], [{"keywords": ["(river"]}], r"no regular expression"),
        (["keywords:frequency"], [{"keyword": "", "relation": "at least", "frequency": 1}], r"'keyword' as a text"),
    ],
)
def test_a_row_that_no_rule_can_read_is_one_sentence(names, kwargs, message):
    with pytest.raises(DataError, match=rf"^ifeval, row 3: .*{message}"):
        instructions_of({"instruction_id_list": names, "kwargs": kwargs}, "ifeval, row 3")


@pytest.mark.parametrize(
    ("name", "function", "module"),
    [
        ("length_constraints:number_sentences", words.sentences, "punkt"),
        ("change_case:capital_word_frequency", words.sentences, "punkt"),
        ("language:response_language", words.languages, "langdetect.detector_factory"),
        ("change_case:english_capital", words.languages, "langdetect.detector_factory"),
        ("change_case:english_lowercase", words.languages, "langdetect.detector_factory"),
    ],
)
def test_a_package_that_is_not_there_is_named_before_the_model_is_asked(name, function, module, monkeypatch):
    function.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=r"pip install 'pytest-sft\[ifeval\]'"):
        instructions_of({"instruction_id_list": [name], "kwargs": [GIVEN[name]]}, "here")
    function.cache_clear()
