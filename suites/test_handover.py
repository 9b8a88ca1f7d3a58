"""Hand-over: is the merged, saved, exported model still the model that was trained?"""

import pytest

pytestmark = pytest.mark.handover
