import sys
from pathlib import Path

import pytest

for folder in ("kernels", "ops"):
    sys.path.insert(0, str(Path(__file__).parent / folder))


@pytest.fixture(autouse=True)
def repeatable():
    """Initial weights, shuffles and dropout repeat from run to run."""
    from kcore.utils import set_random_seed

    set_random_seed(1234)
