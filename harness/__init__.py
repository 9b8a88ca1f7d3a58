"""Tests for fine-tuned language models: the parts behind the pytest suites."""
