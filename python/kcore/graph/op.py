"""What an op is, and the three ways to define one: primitive, elementwise, composite."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from kcore.graph import dtypes
from kcore.graph.tensor import Node, Shape, Tensor, as_tensor, current_value, holds_tensor, placeholder


class Op:
    """A name, a rule for output shape and dtype, a gradient, and the instruction that runs it.

    Args:
        name: as printed in programs.
        infer: ``infer(*inputs, **attrs)`` gives ``(shape, dtype)``, or a list of those.
        gradient: ``gradient(y, dy, *inputs, **attrs)`` gives the gradient for each input (``None`` for
            none), written in ops. With several outputs ``y`` and ``dy`` are tuples. ``None``: no gradient.
        kernel: the native instruction's name; ``name`` if not given.
        lower: maps the attributes to those of the instruction; they are passed as they are if not given.
        random: whether the instruction reads the run's random stream.
    """

    opcode: str | None = None  # elementwise ops have one: the native opcode

    def __init__(
        self,
        name: str,
        infer: Callable | None = None,
        gradient: Callable | None = None,
        kernel: str | None = None,
        lower: Callable | None = None,
        random: bool = False,
    ):
        self.name = name
        self.infer = infer
        self.gradient = gradient
        self.kernel = kernel or name
        self.lower = lower
        self.random = random

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        for x in inputs:
            if isinstance(x, Tensor):
                return self.node([as_tensor(x) for x in inputs], attrs)
        return self.eager(inputs, attrs)

    def node(self, inputs: Sequence[Tensor], attrs: dict[str, Any]) -> Any:
        """Apply to tensors; returns the output tensor, or a tuple of several."""
        specs = self.infer(*inputs, **attrs)  # type: ignore[misc]
        if isinstance(specs, list):
            return Node(self, inputs, attrs, specs).outputs
        return Node(self, inputs, attrs, (specs,)).outputs[0]

    def eager(self, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
        """Apply to arrays and numbers; returns NumPy."""
        from kcore.graph.function import run_eagerly

        return run_eagerly(self, [dtypes.as_array(x) for x in inputs], attrs)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


PLACEHOLDER = Op("placeholder")
CONSTANT = Op("constant")


def primitive(
    name: str,
    *,
    infer: Callable,
    gradient: Callable | None = None,
    kernel: str | None = None,
    lower: Callable | None = None,
    random: bool = False,
) -> Op:
    """Define an op that one native instruction runs; see ``Op`` for the arguments."""
    return Op(name, infer, gradient, kernel, lower, random)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcasting rule, with unknown dimensions. Raises ``ValueError`` where it fails."""
    ndim = max(map(len, shapes), default=0)
    result: list[int | None] = []
    for axis in range(-ndim, 0):
        extent: int | None = 1
        for shape in shapes:
            if len(shape) < -axis or shape[axis] == 1 or shape[axis] == extent:
                continue
            if extent == 1 or extent is None:
                extent = shape[axis] if extent == 1 or shape[axis] is not None else extent
            elif shape[axis] is not None:
                raise ValueError("shapes cannot be broadcast together: " + ", ".join(map(str, shapes)))
        result.append(extent)
    return tuple(result)


class Elementwise(Op):
    """An op that maps broadcast elements one by one; chains of them run as one pass over memory."""

    opcode: str

    def __init__(
        self, name: str, gradient: Callable | None, result: str | None, floating: bool, opcode: str | None
    ):
        super().__init__(name, self._infer, self._summed(gradient), kernel="elementwise")
        self.opcode = opcode or name
        self.result = result
        self.floating = floating

    def _infer(self, *inputs: Tensor) -> tuple:
        return broadcast_shapes(*(x.shape for x in inputs)), self.result or inputs[-1].dtype

    def _summed(self, gradient: Callable | None) -> Callable | None:
        if gradient is None:
            return None

        def summed(y: Tensor, dy: Tensor, *inputs: Tensor) -> tuple:
            grads = gradient(y, dy, *inputs)
            if not isinstance(grads, tuple):
                grads = (grads,)
            return tuple(
                None if g is None else sum_to_shape(_broadcast(g, y.shape), x.shape)
                for g, x in zip(grads, inputs, strict=True)
            )

        return summed

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        inputs = tuple(
            as_tensor(x) if isinstance(x, (list, tuple)) and holds_tensor(x) else x for x in inputs
        )
        first = 1 if self.opcode == "where" else 0  # the condition stays boolean
        strong = [x.dtype for x in inputs[first:] if isinstance(x, Tensor)]
        weak = [x for x in inputs[first:] if not isinstance(x, Tensor)]
        dtype = dtypes.common(strong, weak)
        if self.floating and not dtypes.is_float(dtype):
            dtype = dtypes.floatx()
        wanted = ["bool"] * first + [dtype] * (len(inputs) - first)
        if any(isinstance(x, Tensor) for x in inputs):
            return self.node([_cast_to(x, d) for x, d in zip(inputs, wanted, strict=True)], {})
        return self.eager([dtypes.as_array(x, d) for x, d in zip(inputs, wanted, strict=True)], {})


def _cast_to(x: Any, dtype: str) -> Tensor:
    from kcore.graph.primitives import cast

    if not isinstance(x, Tensor):
        return as_tensor(x, dtype)
    x = current_value(x)
    return x if x.dtype == dtype else cast(x, dtype)


def _broadcast(x: Tensor, shape: tuple) -> Tensor:
    from kcore.graph.primitives import broadcast_to

    return x if x.shape == shape else broadcast_to(x, shape=shape)


def elementwise(
    name: str,
    gradient: Callable | None = None,
    *,
    result: str | None = None,
    floating: bool = False,
    opcode: str | None = None,
) -> Elementwise:
    """Define an elementwise op: operands broadcast and are promoted to one dtype.

    Args:
        name: the op's name, and the native opcode's unless ``opcode`` is given.
        gradient: ``gradient(y, dy, *inputs)``; summed over broadcast axes automatically.
        result: the result's dtype where it isn't the operands' (``'bool'`` for comparisons).
        floating: whether integers are converted to ``floatx()`` first.
    """
    return Elementwise(name, gradient, result, floating, opcode)


def sum_to_shape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum ``x`` over the axes along which ``shape`` was broadcast to ``x.shape``."""
    if x.shape == shape:
        return x
    from kcore.graph.primitives import reduce_sum, reshape

    extra = len(x.shape) - len(shape)
    axes = [*range(extra), *(extra + i for i, d in enumerate(shape) if d == 1 and x.shape[extra + i] != 1)]
    summed = reduce_sum(x, axes=tuple(axes)) if axes else x
    return summed if summed.shape == shape else reshape(summed, shape=shape)


class Deferred(Op):
    """A composite whose body needs known extents: one node until the program is specialised."""

    def __init__(self, function: Callable, infer: Callable | None):
        super().__init__(function.__name__, infer or self._infer_by_trial)
        self.function = function

    def _infer_by_trial(self, *inputs: Tensor, **attrs: Any) -> Any:
        """Run the body on two stand-ins for each unknown extent; what changes is unknown."""

        def outputs(stand_in: int) -> list[Tensor]:
            known = [
                placeholder([stand_in if d is None else d for d in x.shape], x.dtype)
                if None in x.shape
                else x
                for x in inputs
            ]
            result = self.function(*known, **attrs)
            return list(result) if isinstance(result, (tuple, list)) else [result]

        specs = [
            (tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True)), a.dtype)
            for a, b in zip(outputs(24), outputs(36), strict=True)
        ]
        return specs if len(specs) > 1 else specs[0]


def composite(
    function: Callable | None = None, *, deferred: bool = False, infer: Callable | None = None
) -> Any:
    """Define an op as a few lines in other ops.

    With ``deferred``, the body runs once the extents of all tensor arguments are known: at once if they
    are, else when a program is specialised to its input shapes. Positional arguments are tensors, keyword
    arguments are attributes.
    """
    if function is None:
        return functools.partial(composite, deferred=deferred, infer=infer)
    if not deferred:
        return function
    op = Deferred(function, infer)

    @functools.wraps(function)
    def call(*inputs: Any, **attrs: Any) -> Any:
        if any(isinstance(x, Tensor) and None in x.shape for x in inputs):
            return op.node([as_tensor(x) for x in inputs], attrs)
        return function(*inputs, **attrs)

    return call
