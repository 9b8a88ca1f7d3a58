"""Data: what is in the training rows twice, what the evaluation also asks, and what stands out."""

import pytest

from harness.dataset import leaks

pytestmark = [pytest.mark.data, pytest.mark.preflight]


def test_no_evaluation_sample_is_trained_on(dataset, no_findings, note):
    no_findings(leaks.no_evaluation_sample_is_trained_on(dataset, note))
