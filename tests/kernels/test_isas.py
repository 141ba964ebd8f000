"""Runs the kernel tests again under every lower instruction set that this machine has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kcore import _core


@pytest.mark.skipif("KCORE_ISA" in os.environ, reason="already forced to one instruction set")
@pytest.mark.parametrize("isa", _core.supported_isas()[:-1])
def test_kernels_under(isa):
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(Path(__file__).parent)],
        env={**os.environ, "KCORE_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]


def test_unknown_isa_is_an_error_of_the_import():
    result = subprocess.run(
        [sys.executable, "-c", "import kcore._core"],
        env={**os.environ, "KCORE_ISA": "mmx"},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "KCORE_ISA=mmx is not an instruction set that runs here; choose one of: baseline" in result.stderr
