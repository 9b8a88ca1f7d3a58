"""Training: does the loop do with its batches what it was asked to do? Needs --trainer or --recipe."""

import pytest

pytestmark = pytest.mark.training
