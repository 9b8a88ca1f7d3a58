"""Rows that come and go: each prompt is answered as if it were alone, and where memory runs out no answer is lost."""

import gc
import random
import weakref

import pytest
import torch
import transformers
from transformers import DynamicCache

from harness.engine import decoding
from harness.engine.batches import Budget
from harness.engine.decoding import answers, likeliest
from harness.engine.entering import BEGINNING, Entering, shared_beginning
from harness.engine.rows import Text
from harness.engine.sharing import Sharing
from harness.engine.slots import Slots, is_plain
from harness.errors import InvalidRunError, ModelError
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.references import parse_reference

WORDS = 97
NEW = 12
SIZES = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.4,
    "intermediate_size": 96,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": 0,
}
GPT2 = {"vocab_size": WORDS, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 256, "initializer_range": 0.4}
BLOOM = {"vocab_size": WORDS, "hidden_size": 64, "n_layer": 2, "n_head": 2, "initializer_range": 0.4}
MAMBA = {"vocab_size": WORDS, "hidden_size": 64, "num_hidden_layers": 2, "state_size": 8, "initializer_range": 0.4}
NO_ENDS = {"eos_token_id": None, "bos_token_id": None}

IN_SLOTS = {
    "grouped heads": lambda: transformers.LlamaConfig(**SIZES, num_key_value_heads=1),
    "learned positions": lambda: transformers.GPT2Config(**GPT2, **NO_ENDS),
    "biased distances": lambda: transformers.BloomConfig(**BLOOM, **NO_ENDS),
    "experts": lambda: transformers.MixtralConfig(**SIZES, num_key_value_heads=1, num_local_experts=4),
}
IN_WHOLE_BATCHES = {
    "sliding windows": lambda: transformers.Gemma3TextConfig(
        **SIZES,
        num_key_value_heads=1,
        head_dim=32,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "states": lambda: transformers.MambaConfig(**MAMBA, **NO_ENDS),
    "states and attention": lambda: transformers.Lfm2Config(
        **SIZES, num_key_value_heads=1, layer_types=["conv", "full_attention"]
    ),
}


def model_of(make):
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(make()).eval()


@pytest.fixture(scope="module")
def llama():
    return model_of(IN_SLOTS["grouped heads"])


def mixed_prompts(count, seed=0, longest=60):
    chance = random.Random(seed)
    return [[chance.randrange(1, WORDS) for _ in range(chance.randrange(1, longest))] for _ in range(count)]


def ends(ids):
    """Where answers of this test end, which depends on all of them and comes soon."""
    return (sum(ids) + 3 * len(ids)) % 8 == 0


def answered(module, prompts, *, ended=ends, tokens=256, rows=None, sharing=None, **options):
    """The answers in the order of the prompts."""
    found = dict(
        answers(
            module,
            prompts,
            ended=ended,
            pad_id=0,
            max_new_tokens=NEW,
            budget=Budget(tokens, rows),
            sharing=sharing or Sharing(),
            **options,
        )
    )
    assert sorted(found) == list(range(len(found)))
    return [found[number] for number in range(len(found))]


@torch.inference_mode()
def by_transformers(module, prompts, ended=ends):
    """What ``generate`` answers to each prompt alone."""
    found = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        whole = module.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=NEW,
            eos_token_id=None,
            pad_token_id=0,
        )
        new = whole[0, len(prompt) :].tolist()
        found.append(next((new[:length] for length in range(1, NEW) if ended(new[:length])), new))
    return found


@pytest.mark.parametrize("kind", [*IN_SLOTS, *IN_WHOLE_BATCHES])
def test_every_kind_of_model_answers_as_each_prompt_alone_is_answered(kind, monkeypatch):
    module = model_of({**IN_SLOTS, **IN_WHOLE_BATCHES}[kind])
    prompts = mixed_prompts(14)
    sharing = Sharing()
    monkeypatch.setitem(decoding.MOST, "cpu", 5)
    given = answered(module, prompts, sharing=sharing)
    assert given == by_transformers(module, prompts)
    assert len({len(answer) for answer in given}) > 2, "rows are to leave at different times"
    assert bool(sharing.token_bytes) == (kind in IN_SLOTS)


def test_short_rows_beside_a_long_one_are_not_lost_to_a_window_over_columns():
    """GPT-Neo's local attention, as wide as it is in its checkpoints: short texts alone do not show it."""
    sizes = SIZES | {"num_layers": 2, "num_heads": 2, "max_position_embeddings": 1024}
    module = model_of(
        lambda: transformers.GPTNeoConfig(**sizes, attention_types=[[["global", "local"], 1]], window_size=256)
    )
    prompts = [*mixed_prompts(5), mixed_prompts(1, seed=1)[0] * 99]
    prompts[-1] = prompts[-1][:340]
    assert answered(module, prompts) == by_transformers(module, prompts)


@pytest.mark.parametrize("name", ["base", "tuned"])
def test_the_demo_answers_as_transformers_does(name, tmp_path):
    model = load(parse_reference(f"demo:{name}"), LoadOptions(Access(tmp_path, offline=True)))
    texts = [
        "What is the capital of Peru?",
        "Hello",
        "One two three four five, and so on; what comes next in this row?",
    ]
    messages = [({"role": "user", "content": text},) for text in texts]
    prompts = [model.prompt_ids(each) for each in messages] + [model.prompt_ids(text) for text in texts]
    given = [answer.ids for answer in model.generate([*messages, *texts], max_new_tokens=NEW)]
    assert given == [
        tuple(ids) for ids in by_transformers(model.module, prompts, lambda ids: ids[-1] in model.stop_ids)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_neither_limits_nor_order_nor_neighbours_move_an_answer(seed, llama, monkeypatch):
    chance = random.Random(seed)
    prompts = mixed_prompts(40, seed)
    alone = [answered(llama, [prompt])[0] for prompt in prompts]
    order = chance.sample(range(40), chance.randrange(20, 41))
    monkeypatch.setitem(decoding.MOST, "cpu", chance.choice([1, 2, 3, 7, 64]))
    monkeypatch.setattr(decoding, "HELD", chance.choice([1, 100_000, 1 << 30]))
    given = answered(llama, [prompts[place] for place in order], tokens=chance.choice([1, 70, 2048]))
    assert given == [alone[place] for place in order]


def logits_of(module, prompts, **options):
    """All logits that answers were chosen by, by prompt and place."""
    seen = {}

    def choose(logits, numbers, places):
        for its, number, place in zip(logits, numbers, places, strict=True):
            seen[tuple(prompts[number]), place] = its.clone()
        return likeliest(logits, numbers, places)

    answered(module, prompts, choose=choose, **options)
    return seen


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX512", reason="oneDNN is used with AVX-512 only")
def test_logits_are_the_same_to_the_last_bit_whoever_is_beside_them(llama, monkeypatch):
    prompts = mixed_prompts(16)
    # Alone, a text of so many tokens would fill its columns: nothing of it would be masked.
    prompts += [[*prompt * 60][:length] for prompt, length in zip(prompts, (16, 32, 47, 48), strict=False)]
    together = logits_of(llama, prompts)
    monkeypatch.setitem(decoding.MOST, "cpu", 3)
    few = logits_of(llama, prompts[::-1], tokens=100)
    alone = {key: its for prompt in prompts for key, its in logits_of(llama, [prompt]).items()}
    assert together.keys() == few.keys() == alone.keys()
    assert [key for key in together if not torch.equal(together[key], few[key])] == []
    assert [key for key in together if not torch.equal(together[key], alone[key])] == []


@pytest.mark.parametrize("room", [250, 256])
def test_the_last_position_that_a_model_has_is_used_and_none_beyond(room):
    module = model_of(lambda: transformers.GPT2Config(**GPT2 | {"n_positions": room}, **NO_ENDS))
    prompts = [mixed_prompts(1, seed, longest=60)[0] * 99 for seed in range(3)]
    prompts = [prompt[: room - NEW + 1] for prompt in prompts]
    same = [[*prompts[0][:-2], number, number] for number in range(1, 4)]
    sharing = known(module)
    for asked in (prompts, same):
        assert answered(module, asked, sharing=sharing) == by_transformers(module, asked)


class Fed:
    """Counts the tokens that a module is fed, padding included, and may run out of memory at some calls."""

    def __init__(self, module, failing=(), error=None):
        self.module, self.failing, self.error = module, set(failing), error or torch.OutOfMemoryError("CUDA")
        self.calls = self.tokens = 0

    def __enter__(self):
        self.hook = self.module.register_forward_pre_hook(self, with_kwargs=True)
        return self

    def __exit__(self, *_):
        self.hook.remove()

    def __call__(self, _, args, kwargs):
        self.tokens += kwargs["input_ids"].numel()
        self.calls += 1
        if self.calls in self.failing:
            raise self.error


def known(module):
    """What is learned of a model when it is first asked."""
    sharing = Sharing()
    answered(module, [[1, 2, 3]], sharing=sharing)
    assert sharing.token_bytes
    return sharing


def test_a_shared_beginning_and_equal_prompts_are_read_once(llama):
    beginning = mixed_prompts(1, longest=61)[0][:1] * 100
    prompts = [[*beginning, number, 7 * number] for number in range(1, 9)] * 2
    expected = [answered(llama, [prompt], ended=lambda _: True)[0] for prompt in prompts]
    sharing = known(llama)
    with Fed(llama) as fed:
        assert answered(llama, prompts, sharing=sharing, ended=lambda _: True) == expected
    assert fed.tokens < 4 * len(beginning)


def test_rows_that_have_ended_cost_nothing_and_those_that_wait_take_their_place(llama, monkeypatch):
    prompts, sharing = mixed_prompts(32), known(llama)
    monkeypatch.setitem(decoding.MOST, "cpu", 8)
    with Fed(llama) as fed:
        given = answered(llama, prompts, sharing=sharing)
    assert fed.tokens <= sum(-(-(len(prompt) + 32) // 16) * 16 for prompt in prompts) + sum(map(len, given))
    assert fed.calls < 0.6 * (len(prompts) / 8 * (NEW + 1) + len(prompts))


def test_what_texts_begin_with_leaves_each_a_token_of_its_own():
    row = tuple(range(1, 60))
    assert shared_beginning([row, (*row[:40], 99), (*row[:35], 98, 97)]) == 35
    assert shared_beginning([row, row[:50]]) == 49
    assert shared_beginning([row, row]) == 0 == shared_beginning([row])
    assert shared_beginning([row, (*row[: BEGINNING - 1], 99, 98)]) == 0


@pytest.mark.parametrize("kind", ["grouped heads", "sliding windows"])
@pytest.mark.parametrize("seed", range(3))
def test_where_memory_runs_out_no_answer_is_lost_and_none_is_given_twice(kind, seed):
    module = model_of({**IN_SLOTS, **IN_WHOLE_BATCHES}[kind])
    prompts, sharing = mixed_prompts(20, seed), Sharing()
    expected = answered(module, prompts, sharing=sharing)
    error = [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ][seed % 2]
    chance = random.Random(seed)
    with Fed(module, chance.sample(range(2, 14), 3), error) as fed:
        found = list(
            answers(
                module,
                prompts,
                ended=ends,
                pad_id=0,
                max_new_tokens=NEW,
                budget=Budget(2048),
                sharing=sharing,
            )
        )
    assert fed.calls > max(fed.failing)
    assert sorted(found) == list(enumerate(expected))


def test_a_memory_that_does_not_hold_one_prompt_is_told_in_a_sentence(llama):
    sharing = known(llama)
    with Fed(llama, range(1, 99)), pytest.raises(ModelError, match="memory does not hold the model and one text of"):
        answered(llama, mixed_prompts(6), sharing=sharing)


def test_other_errors_of_a_model_are_not_taken_for_a_full_memory(llama):
    sharing = known(llama)
    with Fed(llama, [3], RuntimeError("shapes do not fit")), pytest.raises(RuntimeError, match="shapes do not fit"):
        answered(llama, mixed_prompts(6), sharing=sharing)


def test_nan_is_no_answer():
    module = model_of(IN_SLOTS["grouped heads"])
    with torch.no_grad():
        module.model.norm.weight[3] = float("nan")
    with pytest.raises(InvalidRunError, match="computes NaN"):
        answered(module, mixed_prompts(3))


def test_a_model_that_answers_otherwise_in_slots_gets_whole_batches(llama):
    """One that counts columns as positions, say."""
    module = model_of(IN_SLOTS["grouped heads"])

    def by_columns(_, args, kwargs):
        cached = kwargs["past_key_values"]
        begun = cached.get_seq_length() if cached is not None else 0
        length = kwargs["input_ids"].shape[1]
        return args, kwargs | {"position_ids": torch.arange(begun, begun + length)[None]}

    module.register_forward_pre_hook(by_columns, with_kwargs=True)
    sharing = Sharing()
    answered(module, mixed_prompts(3), sharing=sharing)
    assert sharing.token_bytes == 0


@pytest.mark.parametrize("early", [False, True])
def test_memory_is_given_back(llama, monkeypatch, early):
    made = []
    plain = Slots.__init__

    def noted(self, *arguments):
        plain(self, *arguments)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Slots, "__init__", noted)
    going = answers(
        llama,
        mixed_prompts(6),
        ended=lambda _: False,
        pad_id=0,
        max_new_tokens=NEW,
        budget=Budget(256),
        sharing=Sharing(),
    )
    next(going) if early else list(going)
    going.close()
    gc.collect()
    assert made
    assert [each for each in made if each() is not None] == []


def test_slots_grow_only_for_twice_as_many_rows(llama):
    long, short = Text((1,) * 30, 40), Text((2,) * 4, 9)
    rows = Entering(llama, [long, short], pad_id=0, budget=Budget(256), held=100, most=64)
    assert rows.admits([long, short, short]) == 2
    rows.enter([long, short])
    rows.keep([1])
    assert rows.slots.rows == 2
    assert rows.admits([short] * 30) == 10
    rows.enter([short] * 10)
    assert (rows.slots.rows, len(rows.slots.lengths)) == (11, 11)
    assert rows.take([3] * 11).shape == (11, WORDS)


def test_only_caches_that_keep_everything_are_plain():
    assert is_plain(DynamicCache(config=IN_SLOTS["grouped heads"]()))
    assert not any(is_plain(DynamicCache(config=make())) for make in IN_WHOLE_BATCHES.values())
