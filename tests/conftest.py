import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

for folder in ("kernels", "ops"):
    sys.path.insert(0, str(Path(__file__).parent / folder))

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run; KCORE_FUZZ=1 draws new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
if not os.environ.get("KCORE_FUZZ"):
    hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def repeatable():
    """Initial weights, shuffles and dropout repeat from run to run."""
    from kcore.utils import set_random_seed

    set_random_seed(1234)
