"""A callable over symbolic tensors: programs compiled for the input shapes that come, and cached."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcore.graph import dtypes, native, phase, report, rng
from kcore.graph.fold import fold
from kcore.graph.fuse import fuse
from kcore.graph.op import Op
from kcore.graph.plan import Plan, plan
from kcore.graph.scan import SCAN
from kcore.graph.simplify import frozen, simplify
from kcore.graph.specialize import specialize
from kcore.graph.tensor import Node, Tensor, UpdateScope, Variable, constant, placeholder

CACHED_PROGRAMS = 64  # per function: one for each combination of input shapes and phase
CACHED_EAGER_OPS = 1024
# ``run_batches`` comes back to Python as often as a progress bar is drawn, and sooner if batches are tiny.
SECONDS_AT_ONCE = 0.05
BATCHES_AT_ONCE = 1024


@dataclass(eq=False)
class Compiled:
    """A program specialised to input shapes and phase."""

    plan: Plan
    training: bool
    random: bool
    compile_seconds: float

    def __post_init__(self) -> None:
        self.run: Callable[..., list[np.ndarray]] = self.plan.program.run
        self.takes: Callable[[Sequence[Any]], bool] = self.plan.program.takes


class Function:
    """Computes ``outputs`` from ``inputs``, then applies ``updates``.

    Args:
        inputs: placeholders.
        outputs: tensors that depend on no other placeholder than those and the learning phase.
        updates: ``(variable, new value)`` pairs. All new values are computed before any is stored.
        name: for messages.
        step: the position in the random stream at each call: what a variable holds, or a function gives; a global
            counter if ``None``.
        seed: gives the seed of the random stream; the global one if ``None``.
        layer_names: what layers are called as far as their random numbers are concerned.

    Calling it takes one array for each input, and returns a list of new arrays. Any number of threads may
    call it at once; updates of concurrent calls are then applied in no defined order.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Sequence[tuple[Variable, Tensor]] = (),
        name: str = "function",
        step: Variable | Callable[[], int] | None = None,
        seed: Callable[[], int] | None = None,
        layer_names: Mapping[str, str] | None = None,
    ):
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.updates = list(updates)
        self.name = name
        self._position = step if isinstance(step, Variable) and step.dtype == "int64" else None
        self.step = (lambda: int(step.numpy())) if isinstance(step, Variable) else step or rng.next_step
        self.seed = seed or rng.get_seed
        self.layer_names = layer_names or {}
        # The phase may be given as an input; it chooses the program, and is no operand of it.
        self._data = [t for t in self.inputs if t is not phase.LEARNING_PHASE]
        given = [i for i, t in enumerate(self.inputs) if t is phase.LEARNING_PHASE]
        self._phase_input = given[0] if given else None
        self._dtypes = [np.dtype(t.dtype) for t in self.inputs]
        self._programs: OrderedDict[tuple, Compiled] = OrderedDict()
        self._latest: Compiled | None = None
        self._feed_bytes = 0  # of the largest feed that it has run on
        self._lock = threading.Lock()

    def __call__(self, inputs: Sequence[Any] = (), training: bool = False) -> list[np.ndarray]:
        results = self.again(inputs, training)
        if results is not None:
            return results
        arrays, training = self._operands(inputs, training)
        self._latest = compiled = self.compiled([x.shape for x in arrays], training)
        return self._run(compiled, arrays)

    def again(self, inputs: Sequence[Any], training: bool = False) -> list[np.ndarray] | None:
        """Call it if these are arrays of the very shapes and dtypes that it was called on last; else ``None``."""
        latest = self._latest
        if latest is None or latest.training != training or not latest.takes(inputs):
            return None
        return self._run(latest, inputs)

    def _run(self, compiled: Compiled, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        if compiled.random:
            return compiled.run(arrays, self.seed(), self.step())
        return compiled.run(arrays)

    def takes_rows_of(self, sources: Sequence[np.ndarray]) -> bool:
        """Whether ``run_batches`` can read its inputs from the rows of these arrays."""
        return self._phase_input is None and all(
            x.dtype is dtype and x.flags.carray for x, dtype in zip(sources, self._dtypes, strict=True)
        )

    def run_batches(
        self, feed: native.Feed, shapes: Sequence[tuple[int, ...]], training: bool = False
    ) -> Iterator[list[np.ndarray]]:
        """Call it on each of the feed's batches, whose shapes are ``shapes``.

        Yields, every now and then, the results of the calls since, stacked: the first axis counts calls.
        """
        compiled = self.compiled(shapes, training)
        self._feed_bytes = max(self._feed_bytes, feed.bytes)
        run, position = compiled.plan.program.run_batches, self._position
        counted = compiled.random and position is None
        while feed.remaining:
            storage = None if position is None else position.storage
            seed, step = (self.seed(), self.step() if counted else 0) if compiled.random else (0, 0)
            done, outputs = run(feed, 1 if counted else BATCHES_AT_ONCE, SECONDS_AT_ONCE, seed, step, storage)
            yield [x[:done] for x in outputs]

    def _operands(self, inputs: Sequence[Any], training: bool) -> tuple[list[np.ndarray], bool]:
        """The inputs as the program takes them, and the phase, which may be one of them."""
        if len(inputs) != len(self._dtypes):
            raise ValueError(f"{self.name} takes {len(self._dtypes)} inputs, got {len(inputs)}")
        arrays: list[np.ndarray] = []
        for x, dtype in zip(inputs, self._dtypes, strict=True):
            if type(x) is not np.ndarray or x.dtype is not dtype or not x.flags.carray:
                x = np.require(dtypes.as_array(x, dtype.name), requirements=("C", "A"))
            arrays.append(x)
        if self._phase_input is not None:
            training = bool(arrays.pop(self._phase_input))
        return arrays, training

    def _check_shapes(self, shapes: Sequence[tuple[int, ...]]) -> None:
        for i, (tensor, shape) in enumerate(zip(self._data, shapes, strict=True)):
            if not _fits(shape, tensor.shape):
                raise ValueError(
                    f"{self.name}: input {i} ({tensor.name}) must have shape {tensor.shape}, "
                    f"got an array of shape {shape}"
                )

    def compiled(self, shapes: Sequence[tuple[int, ...]], training: bool = False) -> Compiled:
        """The program for these input shapes, compiled at the first request."""
        key = (training, *shapes)
        found = self._programs.get(key)
        if found is not None:
            return found
        self._check_shapes(shapes)
        with self._lock:
            if key not in self._programs:
                self._programs[key] = self._compile(shapes, training)
                if len(self._programs) > CACHED_PROGRAMS:
                    self._programs.popitem(last=False)
            return self._programs[key]

    def _compile(self, shapes: Sequence[tuple[int, ...]], training: bool) -> Compiled:
        start = time.perf_counter()
        feeds = {t: placeholder(s, t.dtype, t.name) for t, s in zip(self._data, shapes, strict=True)}
        phases = {phase.LEARNING_PHASE: constant(training, "bool")}
        fetches = [*self.outputs, *(value for _, value in self.updates)]
        with UpdateScope():  # reads while compiling see stored values, whatever is being traced
            specialized = simplify(specialize(fetches, {**feeds, **phases}))
        variables = [variable for variable, _ in self.updates]
        specialized = fold(specialized, variables)
        outputs, values = specialized[: len(self.outputs)], specialized[len(self.outputs) :]
        with rng.layer_names(self.layer_names):
            instructions = fuse(specialized)
        planned = plan(instructions, list(feeds.values()), outputs, list(zip(variables, values, strict=True)))
        random = any(_is_random(node) for i in instructions for node in i.nodes)
        return Compiled(planned, training, random, time.perf_counter() - start)

    def memory(self) -> dict[str, int]:
        """What it has taken to run, in bytes: its programs, one run of each at a time (see ``report.memory``), and the
        batches of ``run_batches``."""
        parts = report.memory([compiled.plan for compiled in self._programs.values()])
        return {**parts, "batches": self._feed_bytes}

    def describe(self, shapes: Sequence[tuple[int, ...]], training: bool = False) -> str:
        """The program for these input shapes as text: instructions, operands, bytes and FLOPs."""
        return report.describe(self.compiled(shapes, training).plan)

    def profile(self, inputs: Sequence[Any], training: bool = False, repeat: int = 10) -> str:
        """Run ``repeat`` times; the program as text with each instruction's median time. Updates apply."""
        arrays, training = self._operands(inputs, training)
        compiled = self.compiled([x.shape for x in arrays], training)
        times = np.zeros((repeat, len(compiled.plan.instructions)))
        for row in times:
            compiled.run(arrays, self.seed(), self.step(), row)
        return report.describe(compiled.plan, np.median(times, axis=0))


def _fits(shape: tuple[int, ...], symbolic: tuple[int | None, ...]) -> bool:
    return len(shape) == len(symbolic) and all(
        s is None or s == d for s, d in zip(symbolic, shape, strict=True)
    )


def _is_random(node: Node) -> bool:
    return node.op.random or (node.op is SCAN and node.attrs["body"].random)


def evaluate(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """The values of tensors that depend on no placeholder (the learning phase counts as 0)."""
    return Function([], tensors, name="evaluate")([])


_eager: OrderedDict[tuple, Function] = OrderedDict()


def run_eagerly(op: Op, arrays: list[np.ndarray], attrs: dict[str, Any]) -> Any:
    """Apply one op to arrays now."""
    key = (id(op), tuple((x.shape, x.dtype.name) for x in arrays), frozen(attrs))
    function = _eager.get(key)
    if function is None:
        inputs = [placeholder(x.shape, x.dtype.name) for x in arrays]
        result = op.node(inputs, attrs)
        outputs = result if isinstance(result, tuple) else (result,)
        function = _eager[key] = Function(inputs, outputs, name=op.name)
        if len(_eager) > CACHED_EAGER_OPS:
            _eager.popitem(last=False)
    results = function(arrays)
    return results[0] if len(results) == 1 else tuple(results)
