"""Samples from JSONL: every complaint with its place, everything legitimate taken, and the seeded subset."""

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.samples import choice_part, json_lines, read_samples, subset, text_part

GOOD = {"id": "first", "prompt": "What opens at noon?", "choices": ["the gate", "the sea"], "target": 0}


@pytest.fixture
def write(tmp_path):
    def write_file(*lines, name="mine.jsonl"):
        path = tmp_path / name
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
        return path

    return write_file


def changed(**fields):
    """The good sample with other fields; None takes a field away."""
    return {key: value for key, value in (GOOD | {"id": "second"} | fields).items() if value is not None}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "not valid JSON at column 2"),
        (b'{"id": "a" "b"}', "not valid JSON at column 12"),
        (b"[1, 2]", "a JSON object is expected, this is list"),
        (b'"text"', "a JSON object is expected, this is str"),
        (b'{"id": "a", "prompt": "\xff"}', "not UTF-8 at byte 23 of the line"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"\x00\x01\x02", "not valid JSON"),
        (b'{"id": ' + b"1" * 5000 + b"}", "holds a number too long to be read"),
        (GOOD, "id 'first' was used before, on line 1"),
        (changed(id=None), "the sample has no id"),
        (changed(id=""), "the sample has no id"),
        (changed(id=True), "the sample has no id"),
        (changed(id=["a"]), "the sample has no id"),
        (changed(prompt=None), "neither prompt nor messages"),
        (changed(prompt=""), "neither prompt nor messages"),
        (changed(prompt=7), "neither prompt nor messages"),
        (changed(messages=[]), "messages must be a list with at least one message"),
        (changed(messages="Hello"), "messages must be a list"),
        (changed(messages=["Hello"]), "messages[0] needs a role and a content"),
        (changed(messages=[{"role": "user"}]), "messages[0] needs a role and a content"),
        (changed(messages=[{"role": "user", "content": 1}]), "messages[0] needs a role and a content"),
        (changed(messages=[{"role": "assistant", "content": "Yes."}]), "end with the assistant's turn"),
        (changed(choices="ab"), "choices must be a list of texts"),
        (changed(choices=["a", 2]), "choices must be a list of texts"),
        (changed(choices=["a", ""]), "choices must be a list of texts, none of them empty"),
        (changed(choices=[]), "choices has 0 entries"),
        (changed(choices=["a"]), "choices has 1 entries; a choice needs at least two"),
        (changed(target=None), "choices but no target"),
        (changed(target=2), "target 2 is outside the 2 choices"),
        (changed(target=-1), "target -1 is outside the 2 choices"),
        (changed(target=True), "target must be an index or a text, this is bool"),
        (changed(target=0.0), "target must be an index or a text, this is float"),
        (changed(target="the door"), "target 'the door' is 0 times among the choices"),
        (changed(choices=["a", "a"], target="a"), "target 'a' is 2 times among the choices"),
        (changed(choices=None), "give target as one text"),
        (changed(choices=None, target="a", references=["a"]), "give target as one text"),
        (changed(choices=None, target=None, references=[]), "references is an empty list"),
        (changed(choices=None, target=None, references=["a", None]), "references must be a list of texts"),
    ],
)
def test_a_fault_is_named_with_file_and_line(write, line, complaint):
    path = write(GOOD, b"", line)
    with pytest.raises(DataError) as caught:
        read_samples(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"", "holds no sample"), (b"\n \r\n", "holds no sample"), (b"\x89PNG\r\n", "not UTF-8")]
)
def test_a_file_without_samples_is_refused(write, content, complaint):
    with pytest.raises(DataError, match=complaint):
        read_samples(write(content))


def test_a_path_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read \(No such file"):
        read_samples(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_samples(tmp_path)


def test_bom_crlf_and_blank_lines_change_nothing(write):
    plain = write(GOOD, changed())
    windows = write(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n\r", json.dumps(changed()).encode() + b"\r\n")
    assert read_samples(windows).samples == read_samples(plain).samples


def test_a_unicode_line_separator_is_content_and_ends_no_line(write):
    prompt = "one\u2028two\u2029three\x85four"
    line = json.dumps(changed(prompt=prompt), ensure_ascii=False).encode()
    (_, sample) = read_samples(write(GOOD, line))
    assert sample.prompt == prompt


def test_half_a_character_is_one_sentence_since_no_tokenizer_reads_it(write):
    with pytest.raises(DataError, match=r"mine\.jsonl:1: holds half a character"):
        read_samples(write(changed(prompt="half \ud83d pair")))


def test_the_target_may_be_the_text_of_the_choice(write):
    by_index, by_text = read_samples(write(changed(id=1, target=1), changed(id=2, target="the sea")))
    assert by_index.target == by_text.target == 1
    assert by_index.digest == by_text.digest
    assert (by_index.id, by_text.id) == ("1", "2")


def test_a_prompt_is_one_message_and_messages_keep_their_roles(write):
    chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What opens?"}]
    plain, talk = read_samples(write(GOOD, changed(prompt=None, messages=chat)))
    assert plain.messages == ({"role": "user", "content": GOOD["prompt"]},)
    assert talk.messages == tuple(chat)
    assert talk.prompt == "Be short.\nWhat opens?"


def test_a_target_in_free_text_is_the_only_reference(write):
    samples = read_samples(write(GOOD, changed(choices=None, target="A fox.")))
    assert samples.samples[1].references == ("A fox.",)
    assert [len(part) for part in (choice_part(samples), text_part(samples))] == [1, 1]
    assert text_part(replace(samples, samples=samples.samples[:1])) is None


@pytest.mark.parametrize(
    "other",
    [
        changed(prompt="What opens at six?"),
        changed(choices=["the gate", "a sea"]),
        changed(target=1),
        changed(choices=None, target="the gate"),
        changed(messages=[{"role": "system", "content": GOOD["prompt"]}]),
        # plain multiple choice reads the prompt where a sample gives both
        changed(prompt="Noon?", messages=[{"role": "user", "content": GOOD["prompt"]}]),
    ],
)
def test_the_digest_changes_with_the_content(write, other):
    first, second = read_samples(write(GOOD, other))
    assert first.digest != second.digest


def test_the_digest_is_the_same_in_any_order_and_under_any_id(write):
    lines = [changed(id=f"q{number}", prompt=f"What is {number}?") for number in range(5)]
    forward = {sample.id: sample.digest for sample in read_samples(write(*lines))}
    turned = [dict(reversed(line.items())) for line in reversed(lines)]
    assert {sample.id: sample.digest for sample in read_samples(write(*turned))} == forward
    assert read_samples(write(changed(id="other", subject="s", cluster="c"))).samples[0].digest == (
        read_samples(write(GOOD)).samples[0].digest
    )


def test_a_subset_is_seeded_keeps_the_order_and_says_that_it_is_one(write):
    samples = read_samples(write(*(changed(id=f"{number:03}") for number in range(50))))
    first = subset(samples, 10, seed=0)
    assert first == subset(samples, 10, seed=0)
    assert first.limited
    assert [sample.id for sample in first] == sorted(sample.id for sample in first)
    assert first.samples != subset(samples, 10, seed=1).samples
    assert first.samples != samples.samples[:10]


@pytest.mark.parametrize("limit", [None, 50, 51])
def test_a_limit_that_takes_nothing_away_is_no_subset(write, limit):
    samples = read_samples(write(*(changed(id=number) for number in range(50))))
    assert subset(samples, limit, seed=0) is samples


def test_a_label_that_is_null_is_no_label(write):
    first, second = read_samples(
        write(b'{"id": 1, "prompt": "a", "cluster": null, "subject": null}', changed(cluster=0))
    )
    assert (first.cluster, first.subject, second.cluster) == ("", "", "0")


def test_the_name_is_that_of_the_file_unless_one_is_given(write):
    path = write(GOOD)
    assert (read_samples(path).name, read_samples(path, "quiz").name) == ("mine", "quiz")


def parses_or_complains(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        samples = read_samples(path)
        assert len({sample.id for sample in samples}) == len(list(json_lines(path)))


@settings(deadline=None)  # the machine may be busy
@given(content=st.binary(max_size=200))
def test_any_bytes_parse_or_raise_a_data_error(tmp_path_factory, content):
    parses_or_complains(tmp_path_factory, content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    line=st.fixed_dictionaries(
        {"id": st.just("a") | VALUES},
        optional=dict.fromkeys(("prompt", "messages", "choices", "target", "references", "subject"), VALUES),
    )
)
def test_any_json_object_parses_or_raises_a_data_error(tmp_path_factory, line):
    parses_or_complains(tmp_path_factory, json.dumps(line).encode())
