"""Losses against Keras 2.3's formulas: functions, classes, reductions, sample weights, gradients, edges."""

import pytest
from referee import DTYPES, TOLERANCE, as_dtype, assert_close, family

from kcore import losses
from kcore.graph import Function, gradients, placeholder

CASES = family("losses")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_loss(case, dtype):
    if dtype == "float64" and case.endswith("saturated"):
        pytest.skip("stated for the float32 value of 1 - epsilon")
    case = CASES[case]
    data = {key: as_dtype(value, dtype) for key, value in case["arrays"].items()}
    weighted = "sample_weight" in data
    if "class" in case:
        loss = getattr(losses, case["class"])(reduction=case["reduction"], **case["kwargs"])
    else:

        def loss(y_true, y_pred):
            return getattr(losses, case["function"])(y_true, y_pred, **case["kwargs"])

    keys = ["y_true", "y_pred", "cotangent", *(["sample_weight"] if weighted else [])]
    feeds = {key: placeholder(data[key].shape, data[key].dtype.name) for key in keys}
    more = [feeds["sample_weight"]] if weighted else []
    y = loss(feeds["y_true"], feeds["y_pred"], *more)
    (grad,) = gradients(y, [feeds["y_pred"]], [feeds["cotangent"]])
    assert grad is not None
    value, gradient = Function(list(feeds.values()), [y, grad])([data[key] for key in feeds])
    tolerance = TOLERANCE[dtype]
    assert_close(value, case["arrays"]["value"], tolerance, "value")
    assert_close(gradient, case["arrays"]["gradient"], tolerance, "gradient")
    eager = loss(data["y_true"], data["y_pred"], *([data["sample_weight"]] if weighted else []))
    assert_close(eager, case["arrays"]["value"], tolerance, "eager value")


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if "function" in case])
def test_gradient_alone(case):
    """Losses that get nothing but ``y_pred`` at run time, through ``get`` by name."""
    case = CASES[case]
    if case["kwargs"]:
        pytest.skip("a name takes no arguments")
    data = case["arrays"]
    loss = losses.get(case["function"])
    t, p = (placeholder(data[key].shape, data[key].dtype.name) for key in ("y_true", "y_pred"))
    value = Function([t, p], [loss(t, p)])([data["y_true"], data["y_pred"]])[0]
    assert_close(value, data["value"], TOLERANCE["float32"], "value")
