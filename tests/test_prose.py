"""The prose that perplexity is taken of: whole, short enough, and the same text on every Python that we support."""

import hashlib

from harness.prose import LONGEST, TOPICS, python_prose
from harness.samples import sample_digest

DIGEST = "df64b161d7cf0f80"
"""Over the digests of all topics in their order; the same with Python 3.11, 3.12 and 3.13."""


def test_every_topic_is_there_once():
    assert [sample.id for sample in python_prose()] == TOPICS
    assert len(set(TOPICS)) == len(TOPICS) == 34


def test_a_topic_has_a_few_hundred_to_two_thousand_characters():
    lengths = [len(sample.prompt) for sample in python_prose()]
    assert min(lengths) > 200
    assert max(lengths) == LONGEST == 2000


def test_the_text_is_the_same_on_every_supported_python():
    digests = "".join(sample.digest for sample in python_prose())
    assert hashlib.sha256(digests.encode()).hexdigest()[:16] == DIGEST


def test_a_digest_is_that_of_the_text():
    assert {sample.digest for sample in python_prose()} == {
        sample_digest({"text": sample.prompt}) for sample in python_prose()
    }
    assert len({sample.digest for sample in python_prose()}) == len(TOPICS)


def test_another_pythons_missing_topic_is_left_out(monkeypatch):
    from pydoc_data import topics

    monkeypatch.setattr(topics, "topics", {name: text for name, text in topics.topics.items() if name != "yield"})
    assert [sample.id for sample in python_prose()] == TOPICS[:-1]
