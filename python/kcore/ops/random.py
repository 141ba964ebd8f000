"""Random numbers: drawn at once as NumPy arrays, or at each run of the program that is being built."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcore.graph import Function, Op, Tensor, UpdateScope, composite, constant_value, dtypes, primitive, rng
from kcore.graph.op import Deferred
from kcore.graph.primitives import cast
from kcore.ops import elementwise as e
from kcore.ops import reduction as r
from kcore.ops.elementwise import as_float, dtype_of
from kcore.ops.operands import normalize_axis, operand

__all__ = [
    "SeedGenerator",
    "bernoulli",
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


class SeedGenerator:
    """Seeds for random ops, each different from the last, all determined by ``seed``.

    Args:
        seed: an integer; if ``None``, one from the global stream.
    """

    def __init__(self, seed: int | None = None, name: str | None = None):
        if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
            raise ValueError(f"a seed must be a non-negative integer, got {seed!r}")
        self._given = seed
        self.name = name or "seed_generator"
        self.seed = int(seed) if seed is not None else _mix(rng.get_seed(), rng.next_key())
        self._drawn = itertools.count()

    def next(self) -> int:
        """The next seed."""
        return _mix(self.seed, next(self._drawn))

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._given}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        return cls(**config)


def _mix(seed: int, count: int) -> int:
    """A number below 2**62 that depends on all bits of both."""
    return int(np.random.SeedSequence([seed, count]).generate_state(1, np.uint64)[0] >> np.uint64(2))


# --- Drawing ------------------------------------------------------------------------------------------


def _distribution(name: str) -> Op:
    return primitive(
        name,
        infer=lambda *, shape, dtype, key, **attrs: (shape, dtype),
        lower=lambda attrs: {k: v for k, v in attrs.items() if k not in ("shape", "dtype")},
        random=True,
    )


_uniform = _distribution("random_uniform")
_normal = _distribution("random_normal")
_truncated_normal = _distribution("random_truncated_normal")
_bernoulli = _distribution("random_bernoulli")
_permutation = _distribution("random_permutation")

_SEEDED = 1 << 61  # keys from seeds, apart from those that the graph numbers


def key_of(seed: Any) -> int:
    """The key of a random op: a new one for no seed, a layer's own, else one that the seed determines."""
    if seed is None:
        return rng.next_key()
    if isinstance(seed, rng.LayerKey):
        return seed
    if isinstance(seed, SeedGenerator):
        seed = seed.next()
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
        raise ValueError(f"a seed must be an integer, a SeedGenerator or None, got {seed!r}")
    return _SEEDED | (int(seed) & (_SEEDED - 1))


def _draw(op: Op, shape: Any, dtype: str, seed: Any, **attrs: Any) -> Any:
    """Draw now; or make a tensor that is drawn at each run, inside an ``UpdateScope`` (while a program is
    being traced) or where an extent is a tensor."""
    if isinstance(shape, Tensor):
        value = constant_value(shape)
        shape = list(shape) if value is None else [int(d) for d in value]
    extents = [d for d in shape if isinstance(d, Tensor) and constant_value(d) is None]
    if extents:
        places = iter(range(len(extents)))
        template = tuple(
            (next(places),) if isinstance(d, Tensor) and constant_value(d) is None else _extent(d)
            for d in shape
        )
        details = {"op": op, "shape": template, "dtype": dtype, "key": key_of(seed), "attrs": attrs}
        return _draw_dynamic.node(extents, details)
    dims = tuple(_extent(d) for d in shape)
    if UpdateScope.current() is not None:
        return op.node([], {"shape": dims, "dtype": dtype, "key": key_of(seed), **attrs})
    if seed is None:
        return op.eager([], {"shape": dims, "dtype": dtype, "key": 0, **attrs})
    return _seeded(op, dims, dtype, key_of(seed), tuple(attrs.items()))([])[0]


def _extent(d: Any) -> int:
    value = int(constant_value(d)) if isinstance(d, Tensor) else d  # type: ignore[arg-type]
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a shape must hold non-negative integers, got {d!r}")
    return int(value)


def _draw_known(*extents: Tensor, op: Op, shape: tuple, dtype: str, key: int, attrs: dict) -> Tensor:
    """``shape`` holds an index into ``extents`` (as a 1-tuple) where an extent is a tensor."""
    values = [constant_value(d) for d in extents]
    dims = []
    for d in shape:
        value = values[d[0]] if isinstance(d, tuple) else d
        if value is None:
            raise ValueError(f"{op.name}: an extent of the shape depends on data, not on shapes")
        dims.append(int(value))
    return op.node([], {"shape": tuple(dims), "dtype": dtype, "key": key, **attrs})


def _infer_drawn(*extents: Tensor, op: Op, shape: tuple, dtype: str, key: int, attrs: dict) -> tuple:
    return tuple(None if isinstance(d, tuple) else d for d in shape), dtype


_draw_dynamic = Deferred(_draw_known, _infer_drawn)


@functools.lru_cache(maxsize=64)
def _seeded(op: Op, shape: tuple, dtype: str, key: int, attrs: tuple) -> Function:
    """What an integer seed gives does not depend on the global stream."""
    node = op.node([], {"shape": shape, "dtype": dtype, "key": key, **dict(attrs)})
    return Function([], [node], name=op.name, step=lambda: 0, seed=lambda: 0)


def _float(dtype: Any, what: str) -> str:
    name = dtypes.standardize(dtype)
    if not dtypes.is_float(name):
        raise ValueError(f"{what}: the dtype must be a float, got {name}; use randint for integers")
    return name


# --- Distributions ------------------------------------------------------------------------------------


def uniform(
    shape: Any,
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    """Numbers spread evenly over [``minval``, ``maxval``).

    An array, drawn now; while a program is being traced, a tensor that is drawn at each run.

    Args:
        shape: of the result; extents may be tensors.
        dtype: a float dtype, ``floatx()`` by default; or an integer one, for integers.
        seed: an integer gives the same numbers at every call; ``None`` draws from the global stream.

    Raises:
        ValueError: if ``minval`` is not below ``maxval``.
    """
    name = dtypes.standardize(dtype)
    if not dtypes.is_float(name):
        return randint(shape, int(minval), int(maxval), name, seed)
    return _draw(_uniform, shape, name, seed, minval=float(minval), maxval=float(maxval))


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Integers spread evenly over [``minval``, ``maxval``). Arguments as for ``uniform``."""
    name = dtypes.standardize(dtype)
    if name not in ("uint8", "int32", "int64"):
        raise ValueError(f"randint: the dtype must be uint8, int32 or int64, got {name}")
    return _draw(_uniform, shape, name, seed, minval=int(minval), maxval=int(maxval))


def normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    """Numbers of a normal distribution. Arguments as for ``uniform``."""
    name = _float(dtype, "normal")
    return _draw(_normal, shape, name, seed, mean=float(mean), stddev=float(stddev))


def truncated_normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    """Numbers of a normal distribution cut off two standard deviations from its mean."""
    name = _float(dtype, "truncated_normal")
    return _draw(_truncated_normal, shape, name, seed, mean=float(mean), stddev=float(stddev))


def bernoulli(shape: Any, p: float = 0.5, dtype: Any = "bool", seed: Any = None) -> Any:
    """1 (true) with probability ``p``, else 0. Arguments as for ``uniform``."""
    return _draw(_bernoulli, shape, dtypes.standardize(dtype), seed, p=float(p))


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Class indices drawn with the probabilities ``softmax(logits)``.

    Args:
        logits: of shape ``(batch, classes)``.
        num_samples: how many indices to draw from each row.

    Returns:
        Shape ``(batch, num_samples)``.
    """
    logits = as_float(logits)
    if len(logits.shape) != 2:
        raise ValueError(f"categorical: logits must be of shape (batch, classes), got {tuple(logits.shape)}")
    if isinstance(logits, Tensor):
        drawn = _categorical(logits, count=int(num_samples), key=key_of(seed))
    else:
        noise = uniform((len(logits), int(num_samples), logits.shape[1]), dtype=dtype_of(logits), seed=seed)
        drawn = _largest_after_noise(logits, noise)
    return cast(drawn, dtype)


def _largest_after_noise(logits: Any, noise: Any) -> Any:
    """The Gumbel-max trick: the largest of the logits plus ``-log(-log(u))``."""
    gumbel = e.negative(e.log(e.negative(e.log(e.maximum(noise, 1e-30)))))
    return r.argmax(e.add(r.expand_axes(logits, [1]), gumbel), axis=-1)


@composite(deferred=True, infer=lambda logits, *, count, key: ((logits.shape[0], count), "int32"))
def _categorical(logits: Tensor, *, count: int, key: int) -> Any:
    shape = (logits.shape[0], count, logits.shape[1])
    attrs = {"shape": shape, "dtype": logits.dtype, "key": key, "minval": 0.0, "maxval": 1.0}
    return _largest_after_noise(logits, _uniform.node([], attrs))


def dropout(
    inputs: Any, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Any = None
) -> Any:
    """``inputs`` with elements zeroed at random, the others divided by ``1 - rate``.

    Args:
        rate: the probability of being zeroed, in [0, 1].
        noise_shape: the shape of the random mask, which is broadcast; ``None`` extents are those of
            ``inputs``.
        seed: as for ``uniform``.

    Raises:
        ValueError: if the rate lies outside [0, 1] or the noise shape does not broadcast.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: the rate must lie in [0, 1], got {rate}")
    inputs = operand(inputs)
    if not dtypes.is_float(dtype_of(inputs)):
        raise ValueError(f"dropout: the inputs must be floats, got {dtype_of(inputs)}")
    shape = tuple(noise_shape) if noise_shape is not None else (None,) * len(inputs.shape)
    if len(shape) != len(inputs.shape) or any(
        s not in (None, 1, d) for s, d in zip(shape, inputs.shape, strict=True) if d is not None
    ):
        raise ValueError(f"dropout: a noise shape {shape} does not broadcast to {tuple(inputs.shape)}")
    if rate == 0:
        return inputs
    if isinstance(inputs, Tensor):
        return _dropout(inputs, rate=float(rate), noise_shape=shape, key=key_of(seed))
    mask = bernoulli(_mask_shape(inputs, shape), 1.0 - rate, seed=seed)
    return _masked(inputs, mask, rate)


def _mask_shape(inputs: Any, noise_shape: tuple) -> tuple:
    return tuple(d if s is None else s for s, d in zip(noise_shape, inputs.shape, strict=True))


def _masked(inputs: Any, mask: Any, rate: float) -> Any:
    return e.where(mask, e.multiply(inputs, 1.0 / (1.0 - rate) if rate < 1 else 0.0), 0.0)


@composite(deferred=True, infer=lambda x, *, rate, noise_shape, key: (x.shape, x.dtype))
def _dropout(x: Tensor, *, rate: float, noise_shape: tuple, key: int) -> Any:
    attrs = {"shape": _mask_shape(x, noise_shape), "dtype": "bool", "key": key, "p": 1.0 - rate}
    return _masked(x, _bernoulli.node([], attrs), rate)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """``x`` with its slices along ``axis`` in random order."""
    x = operand(x)
    axis = normalize_axis(axis, len(x.shape), "shuffle")
    if isinstance(x, Tensor):
        return _shuffle(x, axis=axis, key=key_of(seed))
    return np.take(x, _draw(_permutation, (x.shape[axis],), "int64", seed), axis=axis)


@composite(deferred=True, infer=lambda x, *, axis, key: (x.shape, x.dtype))
def _shuffle(x: Tensor, *, axis: int, key: int) -> Any:
    from kcore import ops

    order = _permutation.node([], {"shape": (x.shape[axis],), "dtype": "int32", "key": key})
    return ops.take(x, order, axis=axis)


# --- Distributions that NumPy draws ---------------------------------------------------------------------


def _from_numpy(draw: Callable, shape: Any, dtype: Any, seed: Any, *parameters: Any) -> np.ndarray:
    if any(isinstance(p, Tensor) for p in parameters) or any(isinstance(d, Tensor) for d in shape):
        raise TypeError("gamma, beta and binomial are drawn at once: shape and parameters cannot be tensors")
    if seed is None:
        bits = np.random.Philox(np.random.SeedSequence([rng.get_seed(), rng.next_step()]))
    else:
        bits = np.random.Philox(np.random.SeedSequence([key_of(seed)]))
    values = draw(np.random.Generator(bits), *parameters, size=tuple(_extent(d) for d in shape))
    return np.asarray(values, dtypes.standardize(dtype))


def gamma(shape: Any, alpha: float, dtype: Any = None, seed: Any = None) -> np.ndarray:
    """Numbers of a gamma distribution of shape ``alpha`` and scale 1, drawn at once."""
    return _from_numpy(np.random.Generator.standard_gamma, shape, dtype, seed, alpha)


def beta(shape: Any, alpha: float, beta: float, dtype: Any = None, seed: Any = None) -> np.ndarray:
    """Numbers of a beta distribution, drawn at once."""
    return _from_numpy(np.random.Generator.beta, shape, dtype, seed, alpha, beta)


def binomial(shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None) -> np.ndarray:
    """How often an event of the given probability occurs in ``counts`` trials, drawn at once."""
    return _from_numpy(np.random.Generator.binomial, shape, dtype, seed, counts, probabilities)
