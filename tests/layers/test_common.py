"""Runs the common checks over every row of every subject's table."""

import importlib
from pathlib import Path

import layer_checks as checks
import pytest

from kcore import layers

CASES = [
    pytest.param(case, id=f"{path.stem.removeprefix('layer_cases_')}-{case.name}")
    for path in sorted(Path(__file__).parent.glob("layer_cases_*.py"))
    for case in importlib.import_module(path.stem).CASES
]


@pytest.mark.parametrize("case", CASES)
def test_shapes(case):
    checks.check_shapes(case)


@pytest.mark.parametrize("case", CASES)
def test_config(case):
    checks.check_config(case)


@pytest.mark.parametrize("case", CASES)
def test_training(case):
    checks.check_training(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].data_format])
def test_data_formats(case):
    checks.check_data_formats(case)


@pytest.mark.parametrize("case", CASES)
def test_float_widths(case):
    checks.check_float_widths(case)


@pytest.mark.parametrize("case", CASES)
def test_gradients(case):
    checks.check_gradients(case)


@pytest.mark.parametrize("case", CASES)
def test_weights(case):
    checks.check_weights(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].mask != "none"])
def test_mask(case):
    checks.check_mask(case)


def test_every_layer_has_a_row():
    classes = {
        value
        for name, value in vars(layers).items()
        if isinstance(value, type) and issubclass(value, layers.Layer) and not name.startswith("_")
    }
    made = {type(case.values[0].make()) for case in CASES}
    elsewhere = {layers.Layer, layers.InputLayer, layers.Wrapper}
    cells = {layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell, layers.StackedRNNCells}
    assert {c.__name__ for c in classes - made - elsewhere - cells} == set()
