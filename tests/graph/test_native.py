"""How the native core is loaded."""

import os
import subprocess
import sys

import pytest

from kcore.graph import native

SETTINGS = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}


@pytest.mark.skipif(not native.has_openmp(), reason="built without OpenMP")
@pytest.mark.parametrize(("given", "spin_count"), [({}, "30000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_idle_threads_sleep_soon_unless_the_user_says_otherwise(given, spin_count):
    """The OpenMP runtime prints its settings as it reads them; the process's own environment stays as it was."""
    environment = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    environment.update(given, OMP_DISPLAY_ENV="verbose", PYTHONPATH=os.pathsep.join(sys.path))
    script = "import os, kcore; print('after:', os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("not GCC's OpenMP runtime")
    assert f"GOMP_SPINCOUNT = '{spin_count}'" in done.stderr
    assert f"after: {given.get('GOMP_SPINCOUNT')}" in done.stdout
