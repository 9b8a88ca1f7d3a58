"""Templates that find no end, take gigabytes or call themselves end in one sentence; what others have set stays set."""

from __future__ import annotations

import gc
import resource
import signal
import threading

import pytest
from transformers import PreTrainedTokenizerFast

from harness import demo
from harness.chat import template as chat_template
from harness.chat.bounded import BOUNDS, Bounds, bounded
from harness.chat.probe import probe
from harness.chat.template import encode, render
from harness.errors import ModelError
from harness.models.fetch import Access
from harness.models.files import read_files
from harness.references import parse_reference
from harness.training.tried import try_template

ASK = [{"role": "user", "content": "Is the shop open?"}]
TIGHT = Bounds(seconds=0.2, memory=64 << 20, characters=10_000)

NESTED_LOOPS = "{% for i in range(10**5) %}{% for j in range(10**5) %}{% endfor %}{% endfor %}"
MANY_NAMES = "{% set ns = namespace(l=[1]) %}{% for i in range(10**5) %}{% set ns.l = ns.l + ns.l %}{% endfor %}"
LONG_LIST = "{% set ns = namespace(l=[]) %}{% for i in range(10**5) %}{% set ns.l = ns.l + [i] %}{% endfor %}"
CALLS_ITSELF = "{% macro again(n) %}{{ again(n + 1) }}{% endmacro %}{{ again(0) }}"
MACRO_TREE = "{% macro t(n) %}{% if n %}{{ t(n - 1) }}{{ t(n - 1) }}{% endif %}{% endmacro %}{{ t(60) }}"
ENDLESS_TEXT = (
    "{% for i in range(10**5) %}{% for j in range(10**5) %}{{ messages[0].content * 1000 }}{% endfor %}{% endfor %}"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return read_files(parse_reference("demo:tuned"), Access(tmp_path_factory.mktemp("cache"), True)).tokenizer


@pytest.fixture
def of(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch):
    """The demo's tokenizer with this chat template."""

    def with_template(text: str) -> PreTrainedTokenizerFast:
        monkeypatch.setattr(tokenizer, "chat_template", text)
        return tokenizer

    return with_template


@pytest.fixture
def tightly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rendering gets little time, memory and text."""
    monkeypatch.setattr(chat_template, "bounded", lambda write, given: bounded(write, given, TIGHT))


@pytest.mark.usefixtures("tightly")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (NESTED_LOOPS, "still at work after 0.2 s"),
        (MACRO_TREE, "still at work after 0.2 s"),
        ("{{ 'x' * 10**10 }}", "more than 64 MiB of memory"),
        ("{{ ('x' * 10**6) * 10**6 }}", "more than 64 MiB of memory"),
        ("{{ messages[0].content * 10**9 }}", "more than 64 MiB of memory"),
        (MANY_NAMES, "more than 64 MiB of memory"),
        (LONG_LIST, "still at work|more than 64 MiB"),
        (ENDLESS_TEXT, "still at work|more than 64 MiB"),
        (CALLS_ITSELF, "calls itself without an end"),
        ("{{ 'x' * 20000 }}", "writes 20,000 characters"),
    ],
)
@pytest.mark.parametrize("write", [render, encode, lambda tokenizer, _: probe(tokenizer)])
def test_a_template_without_bounds_ends_in_one_sentence(of, text, sentence, write):
    with pytest.raises(ModelError, match=sentence) as raised:
        write(of(text), ASK)
    assert "\n" not in str(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.usefixtures("tightly")
def test_a_recipes_template_is_tried_before_trl_gets_it(tmp_path):
    template = tmp_path / "endless.jinja"
    template.write_text(NESTED_LOOPS, encoding="utf-8")
    rows = [{"messages": [*ASK, {"role": "assistant", "content": "Yes."}]}]
    with pytest.raises(ModelError, match="still at work"):
        try_template(demo.folder("tuned"), None, str(template), rows)
    try_template(demo.folder("tuned"), None, None, rows)
    try_template(demo.folder("tuned"), None, str(template), [{"text": "Once."}])


def test_a_loop_that_a_sandbox_refuses_is_a_refusal(of):
    with pytest.raises(ModelError, match="renders no conversation"):
        probe(of("{% for i in range(10**9) %}{% endfor %}"))


def test_what_is_set_is_set_again(of):
    def mine(*_: object) -> None:
        raise AssertionError("not now")

    before = signal.signal(signal.SIGVTALRM, mine)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1000)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    try:
        render(of("{{ messages[0].content }}"), ASK)
        with pytest.raises(ModelError):
            bounded(lambda: render(of("{{ 'x' * 10**12 }}"), ASK), ASK)
        assert signal.getsignal(signal.SIGVTALRM) is mine
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 900
        assert resource.getrlimit(resource.RLIMIT_AS) == limits
        assert gc.isenabled()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_a_lower_limit_of_the_user_is_not_raised():
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    seen = []
    lower = 1 << 40
    resource.setrlimit(resource.RLIMIT_AS, (lower, hard))
    try:
        bounded(lambda: seen.append(resource.getrlimit(resource.RLIMIT_AS)[0]) or "", ASK, Bounds(memory=1 << 50))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert seen == [lower]


def test_a_long_row_may_be_long(of):
    said = "word " * 1_000_000
    assert len(said) > BOUNDS.characters
    assert said in render(of("{{ messages[0].content }}"), [{"role": "user", "content": said}])


def test_another_thread_renders_too(of):
    tokenizer, written = of("{{ messages[0].content }}"), []
    thread = threading.Thread(target=lambda: written.append(render(tokenizer, ASK)))
    thread.start()
    thread.join()
    assert written == ["Is the shop open?"]
