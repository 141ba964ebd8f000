"""Activation functions against tf_keras, from tiny to saturating arguments."""

import pytest
from referee import DTYPES, TOLERANCE, as_dtype, assert_close, family

from kcore import activations
from kcore.graph import Function, gradients, placeholder


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", family("activations"))
def test_activation(case, dtype):
    case = family("activations")[case]
    data = {key: as_dtype(value, dtype) for key, value in case["arrays"].items()}
    x, seed = placeholder(data["input"].shape, dtype), placeholder(data["input"].shape, dtype)
    function = getattr(activations, case["function"])
    y = function(x, **case["kwargs"])
    (grad,) = gradients(y, [x], [seed])
    value, gradient = Function([x, seed], [y, grad])([data["input"], data["cotangent"]])
    eager = function(data["input"], **case["kwargs"])
    # The four blocks have arguments of different magnitude: each is held to its own scale.
    scales = (1,) if case["name"].endswith("kinks") else (1e-2, 1, 1, 1)
    for block, scale in enumerate(scales):
        for name, got in (("output", value), ("gradient", gradient), ("output", eager)):
            want = case["arrays"][name][block]
            assert_close(got[block] / scale, want / scale, TOLERANCE[dtype], f"{name} {block}")
