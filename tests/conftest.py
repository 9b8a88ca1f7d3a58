"""Our own tests take every warning for an error; a user's run of the suites does not, since models bring their own."""

import pytest

pytest_plugins = ["pytester"]

WARNINGS = (
    "error",
    # peft still reads a property that transformers has renamed; nothing here can change that.
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in WARNINGS:
        config.addinivalue_line("filterwarnings", line)
