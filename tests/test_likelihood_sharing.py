"""Likelihoods of rows that share beginnings: what each row gets alone, each token once, by any architecture."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from harness.engine.batches import Budget, silently
from harness.engine.likelihood import scored
from harness.engine.packing import WIDTH, Reading, Row, plan
from harness.engine.prefix_tree import paths_of
from harness.engine.sharing import Sharing, Way
from harness.engine.tokens import Scored
from harness.errors import ModelError

VOCABULARY = 300

NOISE = 1e-4
"""Nats: the arithmetic of another batch moves by 3e-5 at most here, another row's tokens in sight by tenths."""

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HYBRID = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "attn_layer_indices": [1]}

KINDS: dict[str, tuple[dict[str, Any], Way]] = {
    "llama": ({}, Way.TREES),
    "gpt2": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024}, Way.TREES),
    "granite": ({"logits_scaling": 8.0}, Way.TREES),
    "gemma3_text": ({"sliding_window": 24, "head_dim": 8, "num_hidden_layers": 6}, Way.BEGINNINGS),
    "bloom": ({"n_layer": 2, "n_head": 4}, Way.BEGINNINGS),
    "mamba": ({}, Way.NOTHING),
    "bamba": (HYBRID, Way.NOTHING),
}
"""Positions that rotate, are learned, slide, or are biases; logits that are scaled; states in place of a cache."""


def tiny(kind: str, special: dict[str, Any] | None = None) -> Any:
    torch.manual_seed(0)
    special = KINDS[kind][0] if special is None else special
    module = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL | special)).eval()
    with torch.no_grad():
        for weights in module.parameters():
            if weights.dim() > 1:
                weights.mul_(3)  # else a model at its initial weights hardly looks at what came before
    return module


@pytest.fixture(scope="module")
def llama() -> Any:
    return tiny("llama")


class Made:
    """Rows of random ids."""

    def __init__(self) -> None:
        self.random = random.Random(0)

    def ids(self, length: int) -> tuple[int, ...]:
        return tuple(self.random.randrange(5, VOCABULARY) for _ in range(length))

    def questions(self, n: int, before: tuple[int, ...] = (), longest: int = 40) -> list[Scored]:
        contexts = [before + self.ids(self.random.randint(longest // 2, longest)) for _ in range(n)]
        return [
            Scored(context + choice, len(choice))
            for context in contexts
            for choice in [self.ids(self.random.randint(1, 8)) for _ in range(4)]
        ]


def shapes() -> dict[str, list[Scored]]:
    made = Made()
    passages = [made.ids(300), made.ids(120)]
    base = made.ids(60)
    return {
        "questions": made.questions(6),
        "after the same examples": made.questions(6, made.ids(280)),
        "on passages": [row for passage in passages for row in made.questions(3, passage, 20)],
        "choices of one token": [Scored((*base[: 20 + n], token), 1) for n in range(3) for token in (7, 8, 9)],
        "whole texts": [Scored(ids, len(ids) - 1) for ids in (made.ids(length) for length in (5, 90, 310))],
        "beginnings of one another": [Scored(base[: n + 2], min(3, n + 1)) for n in range(30)],
        "a comb": [Scored((*base[:n], 299, 298), 2) for n in range(1, 60)],
        "twice the same": made.questions(1) * 2,
    }


def alone(module: Any, row: Scored) -> list[float]:
    with torch.inference_mode():
        likely = module(input_ids=torch.tensor([row.ids[:-1]])).logits[0].float().log_softmax(-1)
    return [float(likely[at - 1, row.ids[at]]) for at in range(len(row.ids) - row.targets, len(row.ids))]


def together(module: Any, rows: Sequence[Scored], tokens: int = 512, sharing: Sharing | None = None) -> list[Any]:
    found: dict[Scored, Any] = {}
    for done in scored(module, rows, pad_id=0, budget=Budget(tokens), sharing=sharing or Sharing(), track=silently):
        assert not found.keys() & done.keys(), "a row was handed out twice"
        found |= done
    return [found[row] for row in rows]


@contextmanager
def watched(module: Any) -> Iterator[list[int]]:
    """Numbers of tokens that each call of a module reads."""
    calls: list[int] = []

    def read(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        calls.append(given.shape[0] * given.shape[1])

    hook = module.register_forward_pre_hook(read, with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_gets_what_it_gets_alone(kind):
    module, sharing = tiny(kind), Sharing()
    for name, rows in shapes().items():
        for row, found in zip(rows, together(module, rows, sharing=sharing), strict=True):
            assert [value for value, _ in found] == pytest.approx(alone(module, row), abs=NOISE), name
    assert sharing.way is KINDS[kind][1]


def test_a_window_that_slides_is_found_when_a_path_outgrows_it():
    module, sharing = tiny("gemma3_text"), Sharing()
    short, long = Made().questions(3, longest=12), Made().questions(3, longest=60)
    together(module, short, sharing=sharing)
    assert sharing.way is Way.TREES
    for row, found in zip(long, together(module, long, sharing=sharing), strict=True):
        assert [value for value, _ in found] == pytest.approx(alone(module, row), abs=NOISE)
    assert sharing.way is Way.BEGINNINGS


def test_a_window_over_columns_is_found_where_a_wide_row_stands_beside_a_longer_path():
    """GPT-Neo counts its window over columns, whatever positions it is told: short paths of a wide row lose sight."""
    local = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 64}
    module, sharing, made = tiny("gpt_neo", local), Sharing(), Made()
    begin, longer = made.ids(40), made.ids(58)
    rows = [Scored((*begin, *made.ids(8), 7, 8), 2) for _ in range(20)]
    rows += [Scored((*longer, number, number, 7), 1) for number in (8, 9)]
    for row, found in zip(rows, together(module, rows, sharing=sharing), strict=True):
        assert [value for value, _ in found] == pytest.approx(alone(module, row), abs=NOISE)
    assert sharing.way is Way.BEGINNINGS


def test_greedy_tells_whether_a_token_is_the_likeliest(llama):
    rows = shapes()["questions"]
    with torch.inference_mode():
        best = llama(input_ids=torch.tensor([rows[0].ids[:-1]])).logits[0].argmax(-1)
    row = Scored((*rows[0].ids[:-1], int(best[-1])), 1)
    assert [greedy for _, greedy in together(llama, [row])[0]] == [True]
    for row, found in zip(rows, together(llama, rows), strict=True):
        with torch.inference_mode():
            best = llama(input_ids=torch.tensor([row.ids[:-1]])).logits[0].argmax(-1)[-row.targets :]
        assert [greedy for _, greedy in found] == (best == torch.tensor(row.ids[-row.targets :])).tolist()


@pytest.mark.parametrize("name", ["questions", "after the same examples", "on passages", "choices of one token"])
def test_what_rows_share_is_computed_once(llama, name):
    rows, sharing = shapes()[name], Sharing()
    together(llama, rows, sharing=sharing)  # whatever has to be tried has been tried
    unique = len({row.ids[:end] for row in rows for end in range(1, len(row.ids))})
    with watched(llama) as calls:
        together(llama, rows, sharing=sharing)
    assert unique <= sum(calls) <= 1.25 * unique


def test_the_head_runs_where_a_token_is_scored_and_nowhere_else(llama):
    rows, sharing = shapes()["after the same examples"], Sharing()
    together(llama, rows, sharing=sharing)
    positions = {row.ids[: len(row.ids) - 1 - back] for row in rows for back in range(row.targets)}
    seen: list[int] = []
    hook = llama.get_output_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    together(llama, rows, sharing=sharing)
    hook.remove()
    assert sum(seen) == len(positions)


def test_the_module_is_left_as_it_was(llama):
    together(llama, shapes()["questions"])
    assert not llama.get_output_embeddings()._forward_pre_hooks
    assert llama(input_ids=torch.tensor([[5, 6, 7]])).logits.shape == (1, 3, VOCABULARY)


def test_a_model_that_ignores_the_mask_of_pairs_is_found_out():
    module = tiny("llama")

    def blind(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        mask = kwargs.get("attention_mask")
        return args, kwargs | {"attention_mask": None if mask is None or mask.dim() == 4 else mask}

    module.model.register_forward_pre_hook(blind, with_kwargs=True)
    rows, sharing = shapes()["questions"], Sharing()
    for row, found in zip(rows, together(module, rows, sharing=sharing), strict=True):
        assert [value for value, _ in found] == pytest.approx(alone(module, row), abs=NOISE)
    assert sharing.way is Way.BEGINNINGS


def test_a_model_whose_cache_forgets_is_found_out():
    module = tiny("llama")

    def forgetful(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        cache = kwargs.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            for layer in cache.layers:
                layer.values = layer.values * 0
        return args, kwargs

    module.register_forward_pre_hook(forgetful, with_kwargs=True)
    rows, sharing = shapes()["after the same examples"], Sharing()
    for row, found in zip(rows, together(module, rows, sharing=sharing), strict=True):
        assert [value for value, _ in found] == pytest.approx(alone(module, row), abs=NOISE)
    assert sharing.way is Way.NOTHING


def test_ids_that_a_model_makes_impossible_are_no_reason_to_share_less():
    module, sharing = tiny("llama"), Sharing()

    def without_the_last(_: Any, args: tuple[Any, ...], logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(-1, torch.tensor([VOCABULARY - 1]), -torch.inf)

    module.lm_head.register_forward_hook(without_the_last)
    rows = shapes()["after the same examples"]
    for row, found in zip(rows, together(module, rows, sharing=sharing), strict=True):
        assert [value for value, _ in found] == pytest.approx(alone(module, row), abs=NOISE)
    assert sharing.way is Way.TREES


def test_no_number_is_made_of_weights_that_are_none(llama):
    module = tiny("llama")
    with torch.no_grad():
        module.model.norm.weight.fill_(float("nan"))
    rows = shapes()["questions"]
    assert all(value != value for tokens in together(module, rows) for value, _ in tokens)


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: not enough memory"), torch.OutOfMemoryError()])
def test_a_batch_that_memory_does_not_hold_is_halved(error):
    module, budget = tiny("llama"), Budget(512)

    def full(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].numel() > 100:
            raise error

    rows = shapes()["questions"]
    expected = [alone(module, row) for row in rows]
    module.register_forward_pre_hook(full, with_kwargs=True)
    found: dict[Scored, Any] = {}
    for done in scored(module, rows, pad_id=0, budget=budget, sharing=Sharing(), track=silently):
        found |= done
    for row, values in zip(rows, expected, strict=True):
        assert [value for value, _ in found[row]] == pytest.approx(values, abs=NOISE)
    assert budget.tokens <= 128


def test_a_batch_behind_a_long_beginning_is_halved_until_memory_holds_it():
    module, budget, made, calls = tiny("llama"), Budget(4096), Made(), []
    beginning = made.ids(400)
    rows = [Scored(beginning + made.ids(30), 20) for _ in range(40)]
    expected = [alone(module, row) for row in rows]

    def full(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cached = kwargs["past_key_values"].get_seq_length() if kwargs.get("past_key_values") else 0
        count, width = kwargs["input_ids"].shape
        calls.append(count)
        assert len(calls) < 200, "it never ends"
        if count * (cached + width) > 1500:
            raise torch.OutOfMemoryError

    module.register_forward_pre_hook(full, with_kwargs=True)
    found: dict[Scored, Any] = {}
    for done in scored(module, rows, pad_id=0, budget=budget, sharing=Sharing(), track=silently):
        found |= done
    for row, values in zip(rows, expected, strict=True):
        assert [value for value, _ in found[row]] == pytest.approx(values, abs=NOISE)
    assert budget.tokens < 4096


@pytest.mark.parametrize("at", range(8))
def test_memory_that_runs_out_once_ends_no_request_wherever_it_does(at):
    module, made, calls = tiny("llama"), Made(), iter(range(10_000))
    rows = made.questions(6, made.ids(280))
    expected = [alone(module, row) for row in rows]

    def full(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if next(calls) == at and kwargs["input_ids"].shape[0] * kwargs["input_ids"].shape[1] != 280:
            raise torch.OutOfMemoryError

    module.register_forward_pre_hook(full, with_kwargs=True)
    for values, tokens in zip(expected, together(module, rows), strict=True):
        assert [value for value, _ in tokens] == pytest.approx(values, abs=NOISE)


def test_a_row_that_memory_does_not_hold_alone_is_told():
    module = tiny("llama")

    def full(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise torch.OutOfMemoryError

    module.register_forward_pre_hook(full, with_kwargs=True)
    with pytest.raises(ModelError, match="memory does not hold the model and one text"):
        together(module, [Scored((5, 6, 7), 1)])


def test_another_error_of_the_model_is_not_taken_for_a_full_memory(llama):
    with pytest.raises(IndexError):
        together(llama, [Scored((5, VOCABULARY + 1, 7), 1)])


def rows_of(reading: Reading) -> Iterator[tuple[Reading, Row]]:
    yield from ((reading, row) for row in reading.rows)
    for inner in reading.inner:
        yield from rows_of(inner)


def readings_of(reading: Reading) -> Iterator[Reading]:
    yield reading
    for inner in reading.inner:
        yield from readings_of(inner)


SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(SEQUENCES, st.sampled_from(Way))
def test_every_path_is_in_one_row_and_every_row_goes_on_from_its_reading(sequences, way):
    paths = paths_of(sequences)
    assert paths.size(0, len(paths.ids), 0) == len({ids[:end] for ids in sequences for end in range(1, len(ids) + 1)})
    root = plan(paths, way)
    rows = list(rows_of(root))
    assert sorted(at for _, row in rows for at in range(row.low, row.high)) == list(range(len(paths.ids)))
    for reading, row in rows:
        assert reading.low <= row.low < row.high <= reading.high
        ids = [path[reading.stop :] for path in paths.ids[row.low : row.high]]
        assert row.size == len({tokens[:end] for tokens in ids for end in range(1, len(tokens) + 1)})
        assert row.size <= WIDTH or not row.branches
        assert way is Way.TREES or not row.branches
    for reading in readings_of(root):
        assert len({path[: reading.stop] for path in paths.ids[reading.low : reading.high]}) == 1
        assert all(inner.start == reading.stop < inner.stop for inner in reading.inner)
        assert way is not Way.NOTHING or not reading.inner


def test_nothing_is_asked_where_there_is_nothing(llama):
    assert together(llama, []) == []
