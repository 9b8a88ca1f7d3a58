"""What goes to the model and what is answered from the store: nothing twice, and nothing that was asked of another."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fake_model import sample, sample_set
from harness.engine.batches import Budget
from harness.engine.tokens import Scored
from harness.handover.tried import tried
from harness.inspection import answers as answer_checks
from harness.inspection import decoding
from harness.metrics.noise_floor import noise_floor
from harness.metrics.sameness import LEAST_ANSWERS, same_likelihoods
from harness.models.asked import COMPLETION, SCORES, Kept, afresh, answered
from harness.models.base import Completion
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.references import CAUTIOUS, Trust, parse_reference
from harness.store import Memory, Nothing, Store
from harness.zoo.deliveries import adapted, base, delivered, saved
from harness.zoo.engines import SAMPLES
from tiny_checkpoint import write_tiny_checkpoint

CHATS = [({"role": "user", "content": text},) for text in ("Hi!", "The sea is wide.", "a")]
PAIRS = [("The sea is", f" {word}") for word in ("wide", "a", "x y z")]


def asking(answers: dict[int, list[list[tuple[float, bool]]]], questions: list[object], kept: Kept) -> list[int]:
    """Ask for scores by place, one at a time; return which places went to the model."""
    went: list[int] = []

    def ask(places: list[int]):
        for place in places:
            went.append(place)
            yield {place: answers[place]}

    assert answered(kept, SCORES, questions, ask) == [answers[place] for place in range(len(questions))]
    return went


def test_only_what_was_never_asked_goes_to_the_model_and_equal_questions_go_once():
    kept, scores = Kept(), {place: [(-place / 3, True)] for place in range(9)}
    assert asking(scores, [[1], [2]], kept) == [0, 1]
    assert asking(scores, [[1], [2], [3]], kept) == [2]
    assert asking({0: scores[7], 1: scores[7], 2: scores[2]}, [[7], [7], [3]], kept) == [0]


def test_what_was_finished_before_an_error_is_kept(tmp_path):
    def ask(places: list[int]):
        yield {places[0]: [(-1.0, True)]}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answered(Kept(Store(tmp_path), "who"), SCORES, [[1], [2]], ask)
    assert asking({0: [(-1.0, True)], 1: [(-2.0, False)]}, [[1], [2]], Kept(Store(tmp_path), "who")) == [1]


def test_another_model_and_another_kind_of_question_are_other_keys():
    memory, nothing = Memory(), {0: [(0.0, False)]}
    assert asking(nothing, [[1]], Kept(memory, "one")) == [0]
    assert asking(nothing, [[1]], Kept(memory, "two")) == [0]
    said = Completion("a", "a", (1,), "length")
    assert answered(Kept(memory, "one"), COMPLETION, [[1]], lambda _: [{0: said}]) == [said]
    assert asking(nothing, [[1]], Kept(memory, "one")) == []


@pytest.mark.parametrize(
    "scores",
    [[], [(-0.1 - 0.2, True), (-1e-320, False), (-math.inf, True)], [(-i / 7, i % 3 == 0) for i in range(999)]],
)
def test_scores_come_back_to_the_last_bit(scores):
    assert SCORES.unpack(SCORES.pack(scores)) == scores


@pytest.mark.parametrize("text", ["", "ünï 的确\n\x00", "half a pair \ud83d", '"\\'])
@pytest.mark.parametrize("finish", ["terminator", "stop", "length"])
def test_completions_come_back_as_they_were(text, finish):
    answer = Completion(text, f"{text}<|im_end|>", (5, 0, 151_643), finish)
    assert COMPLETION.unpack(COMPLETION.pack(answer)) == answer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def loaded(folder: Path, answers: Store | None, **options: object) -> LocalModel:
    return load(
        parse_reference(str(folder), options.get("trust", CAUTIOUS)),
        LoadOptions(Access(folder.parent / "cache", offline=True), answers=answers, **options),
    )


def ask_all(model: LocalModel) -> list[object]:
    return [
        model.generate(CHATS, max_new_tokens=6),
        model.loglikelihood(PAIRS),
        model.token_losses(["The sea is wide. " * 30, "a"]),
    ]


def newly_computed(folder: Path, store: Path, **options: object) -> int:
    """How many answers a new process would compute for the questions of ``ask_all``."""
    kept = Store(store)
    ask_all(loaded(folder, kept, **options))
    assert kept.notes == []
    return kept.computed


def test_a_later_run_answers_all_without_weights_and_to_the_last_bit(checkpoint, tmp_path, monkeypatch):
    first = ask_all(loaded(checkpoint, Store(tmp_path)))
    kept = Store(tmp_path)
    model = loaded(checkpoint, kept)
    monkeypatch.setattr(LocalModel, "module", property(lambda _: pytest.fail("nothing needs to be computed")))
    assert ask_all(model) == first
    assert kept.computed == 0 < kept.earlier


def test_another_batch_size_and_one_more_question_compute_only_what_is_new(checkpoint, tmp_path):
    assert newly_computed(checkpoint, tmp_path) > 8
    assert newly_computed(checkpoint, tmp_path, batch_size=1) == 0
    kept = Store(tmp_path)
    loaded(checkpoint, kept).loglikelihood([*PAIRS, ("The sea is", " new")])
    assert kept.computed == 1


def of_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def another_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] *= 1.001
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change",
    [another_weight, lambda folder: of_config(folder, rms_norm_eps=1e-3), lambda folder: (folder / "x.py").touch()],
    ids=["weights", "config.json", "code beside it"],
)
def test_a_changed_checkpoint_meets_no_old_answer(checkpoint, tmp_path, change):
    copied = tmp_path / "copy"
    shutil.copytree(checkpoint, copied)
    everything = newly_computed(checkpoint, tmp_path / "store")
    assert newly_computed(copied, tmp_path / "store") == 0, "the same content in another place is the same model"
    change(copied)
    assert newly_computed(copied, tmp_path / "store") == everything


def test_a_changed_template_changes_the_prompts_and_leaves_plain_texts_alone(checkpoint, tmp_path):
    ask_all(loaded(checkpoint, Store(tmp_path)))
    kept = Store(tmp_path)
    model = loaded(checkpoint, kept)
    model.tokenizer.chat_template = "Answer now: " + model.tokenizer.chat_template
    ask_all(model)
    assert kept.computed == len(CHATS)


def test_other_limits_stops_and_dtypes_are_other_questions(checkpoint, tmp_path):
    everything = newly_computed(checkpoint, tmp_path)
    kept = Store(tmp_path)
    model = loaded(checkpoint, kept)
    model.generate(CHATS, max_new_tokens=7)
    model.generate(CHATS, max_new_tokens=6, stop=["\n"])
    model.stop_ids = frozenset({3})
    model.generate(CHATS, max_new_tokens=6)
    assert kept.computed == 3 * len(CHATS)
    assert newly_computed(checkpoint, tmp_path, dtype="bfloat16") == everything


def test_another_scale_of_the_same_adapter_is_another_model(checkpoint, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(checkpoint)
    adapted = get_peft_model(module, LoraConfig(target_modules=["q_proj"], r=4, init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = str(checkpoint)
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    everything = newly_computed(tmp_path / "adapter", tmp_path / "store")
    assert newly_computed(checkpoint, tmp_path / "store") == everything, "its base is another model"
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 99}))
    assert newly_computed(tmp_path / "adapter", tmp_path / "store") == everything


def test_a_copy_with_other_weights_never_meets_the_disk(checkpoint, tmp_path):
    kept = Store(tmp_path)
    model = loaded(checkpoint, kept)
    ask_all(model)
    computed = kept.computed
    ask_all(replace(model, budget=Budget(64)))
    ask_all(afresh(model))
    assert (kept.computed, kept.earlier) == (computed, 0)
    assert isinstance(afresh(model).kept.answers, Nothing)


def test_a_model_that_runs_code_of_its_own_never_meets_the_disk(checkpoint, tmp_path):
    model = loaded(checkpoint, Store(tmp_path / "store"), trust=Trust(remote_code=True, pickle=False))
    ask_all(model)
    assert not (tmp_path / "store").exists()


def test_a_model_keeps_what_it_was_asked_as_long_as_it_lives_and_a_server_is_left_as_it_is(checkpoint, monkeypatch):
    model = loaded(checkpoint, None)
    first = ask_all(model)
    monkeypatch.setattr(LocalModel, "module", property(lambda _: pytest.fail("asked again")))
    assert ask_all(model) == first
    server = object()
    assert afresh(server) is server


class Untouchable:
    """A store that nobody may ask."""

    def get(self, keys):
        pytest.fail("the store was asked")

    def add(self, rows):
        pytest.fail("the store was told")


class Wavering(LocalModel):
    """Computes something else each time that it has to compute."""

    moved = 0

    def _generate(self, prompts, max_new_tokens, stop):
        self.moved += 1
        return enumerate(self._completion([5 + self.moved % 2] * 3) for _ in prompts)

    def score(self, rows: list[Scored]):
        def ask(places: list[int]):
            self.moved += 1
            return [{place: [(-float(self.moved), False)] * rows[place].targets for place in places}]

        return answered(self.kept, SCORES, [(row.ids, row.targets) for row in rows], ask)


QUESTIONS = sample_set(*(sample(f"question {number}", choices=["a", "b"], target=0) for number in range(LEAST_ANSWERS)))


def test_checks_that_ask_twice_are_never_answered_from_the_store(checkpoint, tmp_path):
    base = loaded(checkpoint, None)
    wavering = Wavering(base.name, base.weights, base.tokenizer, base.stop_ids, base.budget)
    wavering.kept = Kept(Store(tmp_path), "wavering")
    once = wavering.generate(CHATS, max_new_tokens=8), wavering.loglikelihood(PAIRS)
    assert (wavering.generate(CHATS, max_new_tokens=8), wavering.loglikelihood(PAIRS)) == once
    wavering.kept = Kept(Untouchable())
    assert answer_checks.answers_do_not_depend_on_their_batch(wavering, SAMPLES)
    assert decoding.answers_are_the_same_when_asked_again(wavering, SAMPLES)
    assert decoding.likelihoods_do_not_depend_on_their_batch(wavering, SAMPLES)
    assert noise_floor(wavering, replace(wavering), QUESTIONS, dtype="torch.float32").nats >= 1


def test_an_adapter_is_tried_out_and_never_remembered():
    on = base()
    delivery = delivered(saved(adapted(on), on))
    found = tried(replace(delivery, loading=replace(delivery.loading, answers=Untouchable())))
    assert found.alone == pytest.approx(found.together, abs=1e-3)


def test_an_adapter_that_does_nothing_is_found_though_its_base_was_asked_in_other_batches(checkpoint, tmp_path):
    base = loaded(checkpoint, Store(tmp_path))
    tuned = replace(base, digests={**base.digests, "adapter": "of zeros"})
    pairs = [(sample.prompt, f" {choice}") for sample in QUESTIONS for choice in sample.choices]
    assert tuned.loglikelihood(pairs) == base.loglikelihood(pairs)
    moved = {
        key: SCORES.pack([(value * (1 + 1e-7), greedy) for value, greedy in SCORES.unpack(packed)])
        for key, packed in tuned.kept.answers.rows.items()
    }
    tuned.kept.answers.rows.update(moved)
    assert tuned.loglikelihood(pairs) != base.loglikelihood(pairs)
    (finding,) = same_likelihoods(tuned, base, QUESTIONS)
    assert "exactly as likely" in finding.what
