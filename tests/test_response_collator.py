"""Raw text that is learned from a marker on: exact on every tokenizer, and never silent where it cannot be."""

import pytest
from transformers import PreTrainedTokenizerBase

from harness.chat.formats import load
from harness.chat.given_ids import tokens_of_ids
from harness.chat.template import render
from harness.errors import DataError, ModelError, UsageError
from harness.inspection import checks
from harness.inspection.matching import inspect_batches
from harness.training.response_collator import ResponseCollator
from harness.zoo.parts import ROWS, plain_trainer, tokenizer_with
from tokenizer_kinds import TOKENIZERS

RESPONSE, INSTRUCTION = "### Response:\n", "### Instruction:\n"
ANSWERS = ["The gate.", "A fox.", "Yes: user\nA fox.", "很好 and the rain begins before six."]


def alpaca(kind="bytes"):
    tokenizer = TOKENIZERS[kind]()
    tokenizer.chat_template = load("alpaca", tokenizer)
    return tokenizer


def texts(tokenizer):
    return [render(tokenizer, row["messages"]) for row in ROWS]


def plain(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def learned(tokenizer, text, *markers, eos=True):
    """What is learned of one text, as text; the eos token at its end is checked and taken off."""
    batch = ResponseCollator(tokenizer, *markers)([{"text": text}])
    ids = [label for label in batch["labels"][0].tolist() if label != -100]
    assert ids.pop() == tokenizer.eos_token_id
    return tokenizer.decode(ids)


def findings(tokenizer, rows, collator):
    trainer = plain_trainer(tokenizer, rows, collator)
    seen = inspect_batches(trainer, ROWS)
    found = {case for case, check in checks.BATCHES.items() if check(seen)}
    return found | {case for case, check in checks.TRAINER.items() if check(trainer, seen)}


@pytest.mark.parametrize("tokenised", [False, True])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_no_case_of_the_mask_suite_finds_anything_in_what_is_collated(kind, tokenised):
    tokenizer = alpaca(kind)
    rows = [{"input_ids": plain(tokenizer, text)} if tokenised else {"text": text} for text in texts(tokenizer)]
    assert findings(tokenizer, rows, ResponseCollator(tokenizer, RESPONSE, INSTRUCTION)) == set()


def by_token_search(tokenizer):
    """The collator of old: it looks for the ids of the marker, and learns what stands after them."""
    marker = plain(tokenizer, RESPONSE)

    def collate(rows):
        batch = ResponseCollator(tokenizer, RESPONSE, INSTRUCTION)(rows)
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"], strict=True):
            at = [i for i in range(len(ids)) if ids[i : i + len(marker)] == marker]
            labels[: at[-1] + len(marker) if at else None] = -100
        return batch

    return collate


@pytest.mark.parametrize("kind", ["spaces before the first word", "spaces before every piece"])
def test_a_marker_that_is_tokenised_otherwise_in_its_place_makes_no_difference(kind):
    tokenizer = alpaca(kind)
    rows = [{"text": text} for text in texts(tokenizer)]
    assert "mask/no_row_is_lost_or_left_with_nothing_to_learn" in findings(tokenizer, rows, by_token_search(tokenizer))
    assert findings(tokenizer, rows, ResponseCollator(tokenizer, RESPONSE, INSTRUCTION)) == set()


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_answer_and_its_end_is_learned_and_nothing_else(kind):
    tokenizer = alpaca(kind)
    batch = ResponseCollator(tokenizer, RESPONSE, INSTRUCTION)([{"text": text} for text in texts(tokenizer)])
    said = "".join(tokenizer.decode([i for i in row if i != -100]) for row in batch["labels"].tolist())
    assert said == "".join(answer + tokenizer.eos_token for answer in ANSWERS)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_rows_that_were_joined_from_pieces_are_masked_as_exactly(kind):
    tokenizer = alpaca(kind)
    prompt, answer = plain(tokenizer, f"{INSTRUCTION}今天?\n\n{RESPONSE}"), plain(tokenizer, "今天 is a gate")
    row = {"input_ids": [*prompt, *answer, tokenizer.eos_token_id]}
    (labels,) = ResponseCollator(tokenizer)([row])["labels"].tolist()
    assert labels == [-100] * len(prompt) + [*answer, tokenizer.eos_token_id]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_row_that_was_cut_within_a_character_keeps_its_mask(kind):
    tokenizer = alpaca(kind)
    whole = plain(tokenizer, f"{INSTRUCTION}x\n\n{RESPONSE}很好")
    start = len(plain(tokenizer, f"{INSTRUCTION}x\n\n{RESPONSE}"))
    for cut in (1, 2):
        (labels,) = ResponseCollator(tokenizer)([{"input_ids": whole[:-cut]}])["labels"].tolist()
        assert labels == [-100] * start + whole[start:-cut]


def test_ids_are_placed_in_their_text_however_they_were_made():
    tokenizer = alpaca("spaces before every piece")
    ids = [*plain(tokenizer, "a gate"), *plain(tokenizer, "今"), *plain(tokenizer, "gate")]
    tokens = tokens_of_ids(tokenizer, ids)
    assert tokens.ids == tuple(ids)
    assert tokens.text == "a gate 今 gate"
    assert tokens.text[tokens.starts[-1] : tokens.ends[-1]].strip()
    assert list(tokens.ends) == sorted(tokens.ends)


def test_padding_is_told_by_length_where_pad_is_eos():
    tokenizer = alpaca()
    tokenizer.pad_token = tokenizer.eos_token
    rows = [{"text": text} for text in texts(tokenizer)]
    batch = ResponseCollator(tokenizer, RESPONSE, INSTRUCTION)(rows)
    lengths = [len(plain(tokenizer, row["text"])) for row in rows]
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths
    assert [labels[length - 1] for labels, length in zip(batch["labels"].tolist(), lengths, strict=True)] == [
        tokenizer.eos_token_id
    ] * 3
    assert findings(tokenizer, rows, ResponseCollator(tokenizer, RESPONSE, INSTRUCTION)) == set()


def test_text_gets_one_bos_and_one_eos():
    tokenizer = alpaca("bytes after BOS")
    bare = f"x\n{RESPONSE}y"
    done = f"{tokenizer.bos_token}{bare}{tokenizer.eos_token}"
    first, second = ResponseCollator(tokenizer)([{"text": bare}, {"text": done}])["input_ids"].tolist()
    assert first == second
    assert (first.count(tokenizer.bos_token_id), first.count(tokenizer.eos_token_id)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "markers", "expected"),
    [
        ("Q: who?\nA: fox", ("\nA:",), " fox"),
        ("Q: who?\nA:\n\n\nfox", ("\nA:\n",), "\n\nfox"),
        ("Say '### Response:\n'?\n\n### Response:\nfox", ("\n### Response:\n",), "fox"),
        ("USER: hi ASSISTANT: fox.<|end|>USER: hi ASSISTANT: The.", ("ASSISTANT:", "USER:"), " fox.<|end|> The."),
        (
            "hi ASSISTANT: fox.\n\nUSER: hi ASSISTANT: The.",
            ("ASSISTANT:", "USER:"),
            " fox.\n The.",
        ),  # '.\n' is one token
    ],
)
def test_what_is_learned_is_what_stands_after_the_marker(text, markers, expected):
    assert learned(tokenizer_with(None), text, *markers) == expected


@pytest.mark.parametrize(("token", "text", "expected"), [(" The", "A: The", " The"), (":\n\n", "A:\n\nfox", "fox")])
def test_a_token_over_the_edge_is_learned_if_more_than_white_space_of_it_is_the_answer(token, text, expected):
    marker = text[:3]
    assert learned(tokenizer_with(None, special=(token,)), text, marker) == expected


def test_the_end_of_a_row_that_was_cut_in_an_instruction_is_not_learned():
    tokenizer = tokenizer_with(None)
    ids = plain(tokenizer, "I: who?\nA: fox.<|end|>I: and wh")
    (labels,) = ResponseCollator(tokenizer, "A:", "I:")([{"input_ids": ids}])["labels"].tolist()
    assert tokenizer.decode([i for i in labels if i != -100]) == " fox.<|end|>"


@pytest.mark.parametrize(
    ("row", "markers", "sentence"),
    [
        ({"text": "no marker"}, ("A:",), r"begins 'no marker<\|end\|>', does not hold the response marker 'A:'"),
        ({"text": "I: x"}, ("A:\n", "I:"), "does not hold the response marker"),
        ({"text": "A: x A: y"}, ("A:",), "more than once: name the instruction_marker too"),
        ({"text": "I: what is A: A: y"}, ("A:", "I:"), "holds the response marker 'A:' twice without the other"),
        ({"text": "I: what is I: A: y"}, ("A:", "I:"), "holds the instruction marker 'I:' twice without the other"),
        ({"text": "I: x A: write I: first"}, ("A:", "I:"), "ends with an instruction, or quotes its marker"),
        ({"input_ids": [42]}, ("A:",), "does not hold the response marker"),
        ({"label": 1}, ("A:",), r"columns \['label'\].*remove_unused_columns=False"),
        ({"input_ids": [42], "seq_lengths": [1]}, ("A:",), "train with packing=False"),
    ],
)
def test_a_row_without_a_clear_answer_is_one_sentence_that_names_it(row, markers, sentence):
    collator = ResponseCollator(tokenizer_with(None), *markers)
    with pytest.raises(DataError, match=sentence) as raised:
        collator([{"text": "I: x A: y"} if "\n" not in markers[0] else {"text": "I: x A:\ny"}, row])
    assert str(raised.value).startswith("row 1 of the batch")
    assert "\n" not in str(raised.value)


def test_a_marker_that_the_length_limit_leaves_without_answer_is_an_error():
    tokenizer = tokenizer_with(None)
    with pytest.raises(DataError, match="has nothing after the response marker"):
        ResponseCollator(tokenizer, "A:")([{"input_ids": plain(tokenizer, "x A:\n")}])


def test_rows_without_a_clear_answer_can_be_left_out():
    collator = ResponseCollator(tokenizer_with(None), "A:")
    rows = [{"text": "x A: y"}, {"text": "x"}, {"text": "A: x A: y"}]
    assert [collator.finds_answers(row) for row in rows] == [True, False, False]


@pytest.mark.parametrize(
    ("markers", "sentence"),
    [
        (("",), "a marker is empty"),
        (("\n",), "a marker is empty"),
        (("A:", " "), "a marker is empty"),
        (("### ", "### Instruction:"), "cannot be told apart"),
    ],
)
def test_markers_that_cannot_mark_are_refused(markers, sentence):
    with pytest.raises(UsageError, match=sentence):
        ResponseCollator(tokenizer_with(None), *markers)


def test_a_tokenizer_without_offsets_or_eos_is_refused():
    class Slow(PreTrainedTokenizerBase):
        is_fast = False

    with pytest.raises(ModelError, match="tokenizer Slow cannot tell which characters a token covers"):
        ResponseCollator(Slow())
    tokenizer = tokenizer_with(None)
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match="no eos token"):
        ResponseCollator(tokenizer)
