"""The base of all metrics: variables that batches update, and a result computed from them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcore import initializers
from kcore.graph import Function, Tensor, UpdateScope, Variable, dtypes, placeholder


class Metric:
    """Base class of metrics; a subclass defines ``update_state(...)`` and ``result()`` in ops.

    ::

        class TruePositives(Metric):
            def __init__(self, name="true_positives", **kwargs):
                super().__init__(name=name, **kwargs)
                self.total = self.add_weight("total")

            def update_state(self, y_true, y_pred, sample_weight=None):
                self.total.assign_add(ops.sum(y_true * ops.cast(y_pred > 0.5, y_true.dtype)))

            def result(self):
                return self.total

    While a program is traced both become part of it. Otherwise ``update_state`` takes arrays and updates at
    once, and ``result`` returns NumPy::

        m = TruePositives()
        m.update_state([0, 1, 1], [0.2, 0.9, 0.7])
        float(m.result())  # 2.0
    """

    stateful = True

    def __init__(self, name: str | None = None, dtype: Any = None, **kwargs: Any):
        if kwargs:
            raise TypeError(f"{type(self).__name__}: unexpected argument {next(iter(kwargs))!r}")
        if name is not None and not isinstance(name, str):  # Keras 3 has the dtype first
            name, dtype = (dtype if isinstance(dtype, str) and dtype not in dtypes.DTYPES else None), name
        self.name = name or _snake_case(type(self).__name__)
        self.dtype = dtypes.standardize(dtype)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "update_state" in cls.__dict__:
            cls.update_state = _updating(cls.update_state)  # type: ignore[method-assign]
        if "result" in cls.__dict__:
            cls.result = _evaluating(cls.result)  # type: ignore[method-assign]
        # Keras 2 and Keras 3 spell it differently; whichever is defined serves both.
        if "reset_states" in cls.__dict__ and "reset_state" not in cls.__dict__:
            cls.reset_state = cls.reset_states  # type: ignore[method-assign]
        elif "reset_state" in cls.__dict__ and "reset_states" not in cls.__dict__:
            cls.reset_states = cls.reset_state  # type: ignore[method-assign]

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch into account."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state")

    def result(self) -> Any:
        """The value for all batches since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} must define result")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``update_state``, then ``result``."""
        self.update_state(*args, **kwargs)
        return self.result()

    def reset_states(self) -> None:
        """Start anew: all variables become 0."""
        for variable in self.variables:
            variable.write(np.zeros(variable.shape, variable.dtype))

    def reset_state(self) -> None:
        """``reset_states`` in Keras 3's spelling."""
        self.reset_states()

    # --- Variables ------------------------------------------------------------------------------------

    def add_weight(
        self,
        name: Any = None,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> Any:
        """A variable of the metric's state; zeros unless an ``initializer`` is given."""
        if name is not None and not isinstance(name, str):  # Keras 3: shape, initializer, dtype, name
            name, shape, initializer = kwargs.pop("name", None), name, shape if shape != () else initializer
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        make = initializers.get(initializer or "zeros")
        dtype = dtypes.standardize(dtype or self.dtype)
        return Variable(make(shape, dtype), dtype, trainable=False, name=f"{self.name}/{name or 'variable'}")

    def add_variable(
        self, shape: Any, initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Any:
        """``add_weight`` in Keras 3's order."""
        return self.add_weight(name, shape, initializer, dtype)

    def __setattr__(self, name: str, value: Any) -> None:
        owned = self.__dict__.setdefault("_owned", {})
        owned.pop(name, None)
        if isinstance(value, (Variable, Metric)):
            owned[name] = value
        object.__setattr__(self, name, value)

    @property
    def variables(self) -> list[Variable]:
        """The metric's state, including that of metrics it holds."""
        found: list[Variable] = []
        for value in self.__dict__.get("_owned", {}).values():
            for variable in value.variables if isinstance(value, Metric) else [value]:
                if not any(variable is other for other in found):
                    found.append(variable)
        return found

    @property
    def weights(self) -> list[Variable]:
        return self.variables

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_functions": {}}  # compiled anew by a copy

    # --- Configuration --------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        config = dict(config)
        if isinstance(config.get("dtype"), dict):  # Keras 3's dtype policy
            config["dtype"] = config["dtype"].get("config", {}).get("name")
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z])(?=[a-z])", r"_\1\2", name).lower()


def _updating(method: Callable) -> Callable:
    """``update_state`` that, outside of a trace, runs as one program on arrays."""

    @functools.wraps(method)
    def update_state(self: Metric, *args: Any, **kwargs: Any) -> Any:
        if UpdateScope.current() is not None:
            return method(self, *args, **kwargs)
        names = list(kwargs)
        values = [_immediate(v, self.dtype) for v in (*args, *kwargs.values())]
        key = (method, len(args), tuple(names), tuple(map(_signature, values)))
        functions = self.__dict__.setdefault("_functions", {})
        if key not in functions:
            inputs = [_batch_placeholder(v) if isinstance(v, np.ndarray) else v for v in values]
            with UpdateScope() as scope:
                method(self, *inputs[: len(args)], **dict(zip(names, inputs[len(args) :], strict=True)))
            functions[key] = Function(
                [t for t in inputs if isinstance(t, Tensor)], [], list(scope.values.items()), name=self.name
            )
        functions[key]([v for v in values if isinstance(v, np.ndarray)])
        return None

    return update_state


def _evaluating(method: Callable) -> Callable:
    """``result`` that, outside of a trace, gives NumPy."""

    @functools.wraps(method)
    def result(self: Metric) -> Any:
        value = method(self)
        return value if UpdateScope.current() is not None else _evaluated(value)

    return result


def _evaluated(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy()[()]
    if isinstance(value, dict):
        return {key: _evaluated(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_evaluated(v) for v in value)
    return value


def _immediate(value: Any, dtype: str) -> Any:
    """An array for a program's input, or a setting that the program is specialised to.

    Python floats become ``dtype``; arrays keep theirs.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Tensor):
        return value.numpy()
    array = np.asarray(value)
    python_floats = array.dtype.kind == "f" and not hasattr(value, "dtype")
    return dtypes.as_array(array, dtype if python_floats else None)


def _signature(value: Any) -> Any:
    return (value.dtype.name, value.shape[1:], value.ndim) if isinstance(value, np.ndarray) else value


def _batch_placeholder(value: np.ndarray) -> Tensor:
    shape: Sequence[int | None] = (None, *value.shape[1:]) if value.ndim else ()
    return placeholder(shape, value.dtype.name)


def clone_metric(metric: Any) -> Any:
    """A metric of the same configuration, its state at the start; functions are returned as they are."""
    return type(metric).from_config(metric.get_config()) if isinstance(metric, Metric) else metric


def clone_metrics(metrics: Sequence[Any]) -> list[Any]:
    """``clone_metric`` of each."""
    return [clone_metric(metric) for metric in metrics]
