"""Runs the common checks over every row of every family's table."""

import importlib
from pathlib import Path

import pytest
from checks import check_gradient, check_symbolic, check_values

CASES = [
    pytest.param(case, id=f"{path.stem.removeprefix('cases_')}-{case.name}")
    for path in sorted(Path(__file__).parent.glob("cases_*.py"))
    for case in importlib.import_module(path.stem).CASES
]


@pytest.mark.parametrize("case", CASES)
def test_values(case):
    check_values(case)


@pytest.mark.parametrize("case", CASES)
def test_symbolic(case):
    check_symbolic(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].differentiable])
def test_gradient(case):
    check_gradient(case)
