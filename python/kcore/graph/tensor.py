"""Symbolic tensors, the nodes that make them, variables, and the scope that records assignments."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from kcore.graph import dtypes
from kcore.graph.native import Storage, write_storages

if TYPE_CHECKING:
    from kcore.graph.op import Op

Shape = tuple[Any, ...]  # of int, None where an extent is unknown

_node_ids = itertools.count()


class Node:
    """One application of an op. ``id`` grows with creation, so it orders nodes topologically."""

    __slots__ = ("attrs", "id", "inputs", "op", "outputs")

    def __init__(self, op: Op, inputs: Sequence[Tensor], attrs: dict[str, Any], specs: Sequence[tuple]):
        self.id = next(_node_ids)
        self.op = op
        self.inputs = tuple(inputs)
        self.attrs = attrs
        self.outputs = tuple(Tensor(shape, dtype, self, i) for i, (shape, dtype) in enumerate(specs))

    def __repr__(self) -> str:
        return f"<Node {self.id} {self.op.name}>"


class Tensor:
    """A symbolic value: ``shape`` (``None`` where unknown), ``dtype``, and the node that makes it.

    Arithmetic, comparison and indexing build new tensors. A tensor that depends on no placeholder has a
    value: ``numpy()``, ``float()`` and ``np.asarray()`` compute it.
    """

    _operators: dict[str, Callable] = {}

    # NumPy operands defer to the operators below.
    __array_ufunc__ = None

    def __init__(self, shape: Shape, dtype: str, node: Node | None = None, index: int = 0):
        self.shape = shape
        self.dtype = dtype
        self.node = node
        self.index = index

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def name(self) -> str:
        if self.node is None:
            return "tensor"
        return self.node.attrs.get("name") or f"{self.node.op.name}_{self.node.id}:{self.index}"

    def get_shape(self) -> Shape:
        return self.shape

    def numpy(self) -> np.ndarray:
        """The value. Raises ``ValueError`` if it depends on a placeholder."""
        from kcore.graph.function import evaluate

        return evaluate([self])[0]

    eval = numpy

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self.numpy()
        return value if dtype is None else value.astype(dtype)

    def __float__(self) -> float:
        return float(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"len() of {self!r}: its first dimension is not known")
        return self.shape[0]

    def __bool__(self) -> bool:
        if depends_on_placeholder(self):
            raise TypeError(
                f"{self!r} is symbolic: it has no truth value while a model is built. "
                "Use ops.where(condition, x, y) or K.switch instead of `if`."
            )
        return bool(self.numpy())

    def __iter__(self):
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"cannot iterate over {self!r}: its first dimension is not known")
        return (self[i] for i in range(self.shape[0]))

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} shape={self.shape} dtype={self.dtype}>"

    if TYPE_CHECKING:  # set below, from the ops that ``kcore.ops`` gives

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...

    @classmethod
    def define_operators(cls, **operators: Callable) -> None:
        """Give ``+``, ``[]`` and the rest their ops; called by ``kcore.ops``, which owns them."""
        cls._operators.update(operators)


def _forward(name: str, reflected: bool = False) -> Callable:
    def operator(self: Tensor, *others: Any) -> Any:
        if name != "getitem" and others and (others[0] is None or isinstance(others[0], str)):
            return NotImplemented
        function = Tensor._operators[name]
        return function(*others, self) if reflected else function(self, *others)

    return operator


for _name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"]:
    setattr(Tensor, f"__{_name}__", _forward(_name))
    setattr(Tensor, f"__r{_name}__", _forward(_name, reflected=True))
for _name in ["lt", "le", "gt", "ge", "neg", "abs", "invert", "getitem"]:
    setattr(Tensor, f"__{_name}__", _forward(_name))


class Variable(Tensor):
    """A tensor that keeps its value between runs: a weight, an optimizer slot, a metric's total.

    Args:
        value: the initial value: an array, a number, or a tensor that depends on no placeholder.
        dtype: a dtype name; if ``None``, the value's own (``floatx()`` for Python floats).
        trainable: whether an optimizer may change it.
        constraint: a function of the new value, applied by optimizers after each update.
        regularizer: a function of the value whose result is added to the loss.
    """

    def __init__(
        self,
        value: Any,
        dtype: str | None = None,
        trainable: bool = True,
        name: str | None = None,
        constraint: Callable | None = None,
        regularizer: Callable | None = None,
    ):
        if isinstance(value, Tensor):
            value = value.numpy()
        wanted = None if dtype is None else dtypes.standardize(dtype)
        if wanted is not None and _repeats_zero(value):
            super().__init__(value.shape, wanted)
            self.storage = Storage(wanted, value.shape)  # which is zeros
        else:
            array = dtypes.as_array(value, wanted)
            super().__init__(array.shape, array.dtype.name)
            self.storage = Storage(self.dtype, array.shape)
            self.storage.write(array)
        self._name = name or f"variable_{next(_node_ids)}"
        self.trainable = trainable
        self.constraint = constraint
        self.regularizer = regularizer

    @property
    def name(self) -> str:
        return self._name

    @property
    def path(self) -> str:
        return self._name.split(":")[0]

    def numpy(self) -> np.ndarray:
        """A copy of the value."""
        return self.storage.read()

    eval = numpy

    @property
    def value(self) -> Tensor:
        return current_value(self)

    def read_value(self) -> Tensor:
        return current_value(self)

    def write(self, value: Any) -> None:
        """Replace the value now. Raises ``ValueError`` if the shape differs."""
        self.storage.write(self._fitting(value))

    def _fitting(self, value: Any) -> np.ndarray:
        array = dtypes.as_array(value, self.dtype)
        if array.shape != self.shape:
            raise ValueError(
                f"cannot assign to variable '{self.name}' of shape {self.shape} a value of shape {array.shape}"
            )
        return array

    load = write

    def assign(self, value: Any) -> Any:
        """Replace the value: now, or in the program under construction if one is being traced."""
        scope = UpdateScope.current()
        if scope is not None:
            return scope.assign(self, value)
        self.write(value.numpy() if isinstance(value, Tensor) else value)
        return self

    def assign_add(self, value: Any) -> Any:
        return self.assign(self + value)

    def assign_sub(self, value: Any) -> Any:
        return self.assign(self - value)

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __reduce__(self) -> tuple:
        parts = (self.numpy(), self.dtype, self.trainable, self._name, self.constraint, self.regularizer)
        return type(self), parts

    def __deepcopy__(self, memo: dict) -> Variable:
        copy = type(self)(self.numpy(), self.dtype, self.trainable, self._name)
        memo[id(self)] = copy
        return copy


def _repeats_zero(value: Any) -> bool:
    """Whether the value is one zero seen as many (``np.broadcast_to``), so that a variable needs no copy of it."""
    return isinstance(value, np.ndarray) and value.size > 1 and not any(value.strides) and not value.flat[0]


def write_variables(pairs: Iterable[tuple[Variable, Any]]) -> None:
    """Replace the values of several variables: no program sees some of them old and others new.

    Raises ``ValueError``, changing nothing, if a shape differs.
    """
    fitting = [(variable, variable._fitting(value)) for variable, value in pairs]
    write_storages([variable.storage for variable, _ in fitting], [array for _, array in fitting])


class UpdateScope:
    """Records assignments while a program is traced; later reads see the assigned tensor.

    ``values`` maps each assigned variable to its new value, in the order of first assignment.
    """

    _local = threading.local()

    def __init__(self) -> None:
        self.values: dict[Variable, Tensor] = {}

    @classmethod
    def current(cls) -> UpdateScope | None:
        stack = getattr(cls._local, "stack", None)
        return stack[-1] if stack else None

    @classmethod
    @contextmanager
    def suspended(cls) -> Iterator[None]:
        """Inside the ``with`` block no assignment is recorded, and reads see what is stored."""
        with cls():
            cls._local.stack[-1] = None
            yield

    def __enter__(self) -> UpdateScope:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        self._local.stack.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._local.stack.pop()

    def assign(self, variable: Variable, value: Any) -> Tensor:
        from kcore.graph.primitives import cast

        tensor = cast(as_tensor(value, None if isinstance(value, Tensor) else variable.dtype), variable.dtype)
        if len(tensor.shape) != len(variable.shape) or any(
            a is not None and a != b for a, b in zip(tensor.shape, variable.shape, strict=True)
        ):
            raise ValueError(
                f"cannot assign to variable '{variable.name}' of shape {variable.shape} "
                f"a value of shape {tensor.shape}"
            )
        self.values[variable] = tensor
        return tensor


def current_value(tensor: Tensor) -> Tensor:
    """``tensor``, or what it has been assigned in the scope being traced."""
    scope = UpdateScope.current()
    if scope is not None and scope.values and isinstance(tensor, Variable):
        return scope.values.get(tensor, tensor)
    return tensor


def as_tensor(value: Any, dtype: str | None = None) -> Tensor:
    """``value`` as a tensor: itself (its current value if a variable), or a constant."""
    if isinstance(value, Tensor):
        return current_value(value)
    if isinstance(value, (list, tuple)) and holds_tensor(value):
        return Tensor._operators["stack"](list(value))
    return constant(value, dtype)


def holds_tensor(values: Sequence) -> bool:
    """Whether nested lists hold a tensor."""
    return any(isinstance(v, Tensor) or (isinstance(v, (list, tuple)) and holds_tensor(v)) for v in values)


def constant(value: Any, dtype: str | None = None, name: str | None = None) -> Tensor:
    """A tensor of a fixed value."""
    from kcore.graph.op import CONSTANT

    array = dtypes.as_array(value, None if dtype is None else dtypes.standardize(dtype))
    attrs = {"value": array, "name": name} if name else {"value": array}
    return Node(CONSTANT, (), attrs, [(array.shape, array.dtype.name)]).outputs[0]


def placeholder(shape: Sequence[int | None], dtype: str | None = None, name: str | None = None) -> Tensor:
    """A tensor whose value is given at each run; a ``None`` dimension may differ from run to run."""
    from kcore.graph.op import PLACEHOLDER

    dims = tuple(None if d is None else int(d) for d in shape)
    if any(d is not None and d < 0 for d in dims):
        raise ValueError(f"negative dimension in shape {tuple(shape)}")
    attrs = {"name": name} if name else {}
    return Node(PLACEHOLDER, (), attrs, [(dims, dtypes.standardize(dtype))]).outputs[0]


def ancestors(tensors: Sequence[Tensor]) -> list[Node]:
    """The nodes that ``tensors`` depend on, in topological order."""
    seen: dict[int, Node] = {}
    stack = [t.node for t in tensors if t.node is not None]
    while stack:
        node = stack.pop()
        if node.id not in seen:
            seen[node.id] = node
            stack.extend(t.node for t in node.inputs if t.node is not None and t.node.id not in seen)
    return [seen[i] for i in sorted(seen)]


def depends_on_placeholder(tensor: Tensor) -> bool:
    return any(node.op.name == "placeholder" for node in ancestors([tensor]))


def constant_value(tensor: Any) -> np.ndarray | None:
    """The value of a constant tensor or of an array, ``None`` for any other tensor."""
    if not isinstance(tensor, Tensor):
        return np.asarray(tensor)
    if tensor.node is not None and tensor.node.op.name == "constant":
        return tensor.node.attrs["value"]
    return None
