"""The checks that every op gets from one row of a table: values, shapes, dtypes, gradients.

A family's rows are the ``CASES`` of its ``cases_<family>.py`` beside this file; ``test_ops.py`` finds them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kcore.graph import Function, Tensor, gradients, placeholder
from kcore.graph.dtypes import is_float


@dataclass
class Case:
    """One op on one set of inputs.

    Args:
        name: unique within the family.
        op: a function of the inputs, ``lambda x: ops.softmax(x, axis=1)``; may return several tensors.
        inputs: arrays; float ones are run as float64 and as float32.
        reference: the same function in NumPy. ``None`` only where no independent formula exists.
        differentiable: whether gradients are checked; or the indices of the inputs to check.
        tolerance: relative, of float32 values against the reference.
        unknown: whether it must also work with every dimension unknown; or the dimensions (by input) to hide.
    """

    name: str
    op: Callable
    inputs: Sequence[np.ndarray]
    reference: Callable | None = None
    differentiable: bool | Sequence[int] = True
    tolerance: float = 1e-5
    unknown: bool = True

    def arrays(self, dtype: str) -> list[np.ndarray]:
        return [np.asarray(x, dtype if np.asarray(x).dtype.kind == "f" else None) for x in self.inputs]


def outputs_of(result) -> list:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def assert_close(got, want, tolerance, what=""):
    """Norm-wise relative closeness: the error is measured against the largest value."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(got), finite, err_msg=what)
    np.testing.assert_array_equal(got[~finite], want[~finite].astype(got.dtype), err_msg=what)
    scale = max(np.abs(want[finite]).max(initial=0.0), 1e-30)
    error = np.abs(got[finite].astype("float64") - want[finite]).max(initial=0.0) / scale
    assert error <= tolerance, f"{what}: relative error {error:.2e} > {tolerance:.0e}"


def check_values(case: Case) -> None:
    """Eager results in both float widths, against the reference."""
    wide = outputs_of(case.op(*case.arrays("float64")))
    narrow = outputs_of(case.op(*case.arrays("float32")))
    assert all(isinstance(y, np.ndarray) for y in wide), f"{case.name}: eager results must be NumPy arrays"
    if case.reference is not None:
        want = [np.asarray(y) for y in outputs_of(case.reference(*case.arrays("float64")))]
        assert len(wide) == len(want)
        for y, w in zip(wide, want, strict=True):
            assert_close(y, w, 1e-10 if case.tolerance <= 1e-4 else case.tolerance, f"{case.name} float64")
    for y, w in zip(narrow, wide, strict=True):
        assert_close(y, w, case.tolerance, f"{case.name} float32")
        if is_float(w.dtype.name) and any(x.dtype.kind == "f" for x in case.arrays("float64")):
            assert y.dtype == np.float32, f"{case.name}: float32 inputs give {y.dtype}"


def check_symbolic(case: Case) -> None:
    """The same numbers from a program, with known and with unknown dimensions."""
    arrays = case.arrays("float32")
    eager = outputs_of(case.op(*arrays))
    for hidden in [False, True] if case.unknown else [False]:
        xs = [placeholder([None] * x.ndim if hidden else x.shape, x.dtype.name) for x in arrays]
        ys = outputs_of(case.op(*xs))
        results = Function(xs, ys)(arrays)
        for y, result, want in zip(ys, results, eager, strict=True):
            assert isinstance(y, Tensor)
            assert y.dtype == want.dtype.name, f"{case.name}: inferred {y.dtype}, computed {want.dtype}"
            fits = len(y.shape) == want.ndim and all(
                s in (None, d) for s, d in zip(y.shape, want.shape, strict=True)
            )
            assert fits, f"{case.name}: inferred shape {y.shape}, computed {want.shape}"
            assert hidden or None not in y.shape, f"{case.name}: shape {y.shape} not inferred"
            assert_close(result, want.astype("float64") if want.dtype.kind == "f" else want, 1e-6, case.name)


def check_gradient(case: Case, step: float = 1e-6, tolerance: float = 2e-5) -> None:
    """Gradients of a weighted sum of the outputs, in float64, against central differences."""
    arrays = case.arrays("float64")
    if case.differentiable is True:
        wrt = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]
    else:
        wrt = list(case.differentiable)
    xs = [placeholder(x.shape, x.dtype.name) for x in arrays]
    ys = [y for y in outputs_of(case.op(*xs)) if is_float(y.dtype)]
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 1.5, y.shape) for y in ys]
    seeds = [placeholder(w.shape, "float64") for w in weights]
    grads = gradients(ys, [xs[i] for i in wrt], seeds)
    assert all(g is not None for g in grads), f"{case.name}: no gradient"
    got = Function([*xs, *seeds], grads)([*arrays, *weights])
    forward = Function(xs, ys)

    def value(inputs):
        return sum(float((w * y).sum()) for w, y in zip(weights, forward(inputs), strict=True))

    for i, grad in zip(wrt, got, strict=True):
        want = np.zeros_like(arrays[i])
        for index in np.ndindex(arrays[i].shape):
            shifted = []
            for sign in (1, -1):
                moved = [x.copy() for x in arrays]
                moved[i][index] += sign * step
                shifted.append(value(moved))
            want[index] = (shifted[0] - shifted[1]) / (2 * step)
        scale = max(1.0, float(np.abs(want).max(initial=0.0)))
        error = float(np.abs(grad - want).max(initial=0.0)) / scale
        assert error < tolerance, f"{case.name}: gradient of input {i} is off by {error:.1e}\n{grad}\n{want}"
