"""Data: what is in the training rows twice, what the evaluation also asks, and what stands out."""

import pytest

pytestmark = pytest.mark.data
