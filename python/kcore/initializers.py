"""Initial values of weights: ``initializer(shape, dtype)`` gives a NumPy array.

An initializer with a seed gives the same values at each call. One without takes its seed from
``np.random``'s global state, so ``np.random.seed`` or ``kcore.utils.set_random_seed`` before a model is built
makes it repeat.
"""

from __future__ import annotations

import inspect
import math
import mmap
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from kcore.graph import dtypes
from kcore.lookup import lookup
from kcore.random_seed import draw_seed
from kcore.utils.serialization import serialize_keras_object

Axes: TypeAlias = "Sequence[int] | None"

_MAPPED_BYTES = 1 << 20
# The standard deviation of a standard normal truncated to [-2, 2].
TRUNCATED_STDDEV = 0.87962566103423978


class Initializer:
    """Base class: subclasses define ``__call__`` and ``get_config``."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """An array of ``shape``; ``dtype`` is ``floatx()`` if ``None``."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype=None)")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        config = dict(config)
        config.pop("dtype", None)  # written by some versions of Keras
        return cls(**config)

    def clone(self) -> Initializer:
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return np.zeros(shape, dtypes.standardize(dtype))


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return np.ones(shape, dtypes.standardize(dtype))


class Constant(Initializer):
    """``value``: a number, or an array that is broadcast or reshaped to the weight's shape."""

    def __init__(self, value: Any = 0):
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        value = np.asarray(self.value, dtypes.standardize(dtype))
        if value.size == math.prod(shape):
            return value.reshape(shape).copy()
        try:
            return np.broadcast_to(value, shape).copy()
        except ValueError as error:
            raise ValueError(
                f"Constant: a value of shape {value.shape} does not fit a weight of shape {tuple(shape)}"
            ) from error

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value.tolist() if isinstance(self.value, np.ndarray) else self.value}


class _Random(Initializer):
    """An initializer that draws: ``draw(generator, shape, dtype)``."""

    def __init__(self, seed: int | None = None):
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ValueError(f"{type(self).__name__}: seed must be an integer or None, got {seed!r}")
        if seed is not None and seed < 0:
            raise ValueError(f"{type(self).__name__}: seed must not be negative, got {seed}")
        self.seed = seed if seed is None else int(seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        name = dtypes.standardize(dtype)
        if not dtypes.is_float(name):
            raise ValueError(f"{type(self).__name__} makes floats, got dtype {name!r}")
        seed = draw_seed() if self.seed is None else self.seed
        generator = np.random.Generator(np.random.Philox(seed))
        return self.draw(generator, tuple(int(d) for d in shape), np.dtype(name))

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class RandomNormal(_Random):
    """Normal with the given mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return generator.standard_normal(shape, dtype) * dtype.type(self.stddev) + dtype.type(self.mean)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


class RandomUniform(_Random):
    """Uniform in ``[minval, maxval)``."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return _uniform(generator, shape, dtype, self.minval, self.maxval)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


class TruncatedNormal(RandomNormal):
    """Normal, values more than two standard deviations from the mean drawn again."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return _truncated_normal(generator, shape, dtype, self.mean, self.stddev)


class VarianceScaling(_Random):
    """Random values whose variance depends on the number of inputs or outputs of a unit.

    Args:
        scale: a positive factor.
        mode: the number that divides it: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"normal"`` or ``"truncated_normal"``: a normal truncated at two standard
            deviations and of variance ``scale / n``; ``"untruncated_normal"``; or ``"uniform"`` within
            ``sqrt(3 * scale / n)`` of 0.
        seed: an integer for the same values at each call.
        input_axes: the axes of the weight that are inputs; see ``compute_fans``.
        output_axes: the axes of the weight that are outputs.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ):
        super().__init__(seed)
        if scale <= 0.0:
            raise ValueError(f"{type(self).__name__}: scale must be positive, got {scale}")
        self.scale = scale
        self.mode = _one_of("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        self.distribution = _one_of(
            "distribution", distribution, ("normal", "truncated_normal", "untruncated_normal", "uniform")
        )
        self.input_axes = None if input_axes is None else tuple(input_axes)
        self.output_axes = None if output_axes is None else tuple(output_axes)

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return _uniform(generator, shape, dtype, -limit, limit)
        if self.distribution == "untruncated_normal":
            return generator.standard_normal(shape, dtype) * dtype.type(math.sqrt(variance))
        return _truncated_normal(generator, shape, dtype, 0.0, math.sqrt(variance) / TRUNCATED_STDDEV)

    def get_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            **self._seed_and_axes(),
        }

    def _seed_and_axes(self) -> dict[str, Any]:
        """The seed, and the axes if they are given: Keras 2's configs do not know them."""
        if self.input_axes is None and self.output_axes is None:
            return {"seed": self.seed}
        return {"seed": self.seed, "input_axes": self.input_axes, "output_axes": self.output_axes}


class _Preset(VarianceScaling):
    """A ``VarianceScaling`` with a name of its own, which stands for its scale, mode and distribution."""

    preset: tuple[float, str, str]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ):
        super().__init__(*self.preset, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        return self._seed_and_axes()


class GlorotUniform(_Preset):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))`` of 0. Glorot and Bengio, 2010."""

    preset = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Truncated normal of variance ``2 / (fan_in + fan_out)``. Glorot and Bengio, 2010."""

    preset = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Preset):
    """Uniform within ``sqrt(6 / fan_in)`` of 0. https://arxiv.org/abs/1502.01852"""

    preset = (2.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Truncated normal of variance ``2 / fan_in``. https://arxiv.org/abs/1502.01852"""

    preset = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Preset):
    """Uniform within ``sqrt(3 / fan_in)`` of 0. LeCun et al., Efficient BackProp, 1998."""

    preset = (1.0, "fan_in", "uniform")


class LecunNormal(_Preset):
    """Truncated normal of variance ``1 / fan_in``. LeCun et al., Efficient BackProp, 1998."""

    preset = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Random):
    """A random orthogonal matrix times ``gain``; higher ranks are flattened to all axes but the last.

    Saxe et al., 2014, https://arxiv.org/abs/1312.6120
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        super().__init__(seed)
        self.gain = gain

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs a shape of rank 2 or more, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diagonal(r))  # makes the distribution uniform over orthogonal matrices
        q = q.T if rows < columns else q
        return np.ascontiguousarray(self.gain * q.reshape(shape), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": self.seed}


class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, zeros elsewhere."""

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"Identity makes matrices, got shape {tuple(shape)}")
        rows, columns = shape
        return (self.gain * np.eye(rows, columns)).astype(dtypes.standardize(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


def compute_fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[float, float]:
    """The numbers of inputs and outputs of a unit.

    Weights are ``(in, out)``, or kernels ``(*spatial, in, out)``, unless both ``input_axes`` and
    ``output_axes`` are given: then the products of the extents of those.
    """
    if input_axes is not None and output_axes is not None:
        fan_in, fan_out = (math.prod(shape[a] for a in axes) for axes in (input_axes, output_axes))
        return float(fan_in), float(fan_out)
    if 2 <= len(shape) <= 5:
        receptive_field = math.prod(shape[:-2])
        return float(shape[-2] * receptive_field), float(shape[-1] * receptive_field)
    fan = math.sqrt(math.prod(shape))
    return fan, fan


def _uniform(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, low: float, high: float
) -> np.ndarray:
    values = generator.random(dtype=dtype, out=_memory_for(shape, dtype))
    values *= dtype.type(high - low)
    values += dtype.type(low)
    return values


def _truncated_normal(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, mean: float, stddev: float
) -> np.ndarray:
    values = generator.standard_normal(dtype=dtype, out=_memory_for((math.prod(shape),), dtype))
    outside = np.flatnonzero((values > 2) | (values < -2))
    while outside.size:
        values[outside] = generator.standard_normal(outside.size, dtype)
        outside = outside[np.abs(values[outside]) > 2]
    values *= dtype.type(stddev)
    values += dtype.type(mean)
    return values.reshape(shape)


def _memory_for(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of undefined content. A large one's memory goes back to the system when it is freed, after it has been
    copied into a variable; malloc would keep it."""
    size = math.prod(shape) * dtype.itemsize
    if size < _MAPPED_BYTES:
        return np.empty(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> str:
    lower = value.lower() if isinstance(value, str) else value
    if lower not in allowed:
        raise ValueError(f"VarianceScaling: {what} must be one of {', '.join(allowed)}, got {value!r}")
    return lower


# The lower-case functions give a VarianceScaling, as Keras 2 writes it into configs.


def lecun_uniform(
    seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
) -> VarianceScaling:
    """Uniform within ``sqrt(3 / fan_in)`` of 0. LeCun et al., Efficient BackProp, 1998."""
    return VarianceScaling(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


def lecun_normal(
    seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
) -> VarianceScaling:
    """Truncated normal of variance ``1 / fan_in``. LeCun et al., Efficient BackProp, 1998."""
    return VarianceScaling(1.0, "fan_in", "normal", seed, input_axes, output_axes)


def glorot_uniform(
    seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
) -> VarianceScaling:
    """Uniform within ``sqrt(6 / (fan_in + fan_out))`` of 0. Glorot and Bengio, 2010."""
    return VarianceScaling(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


def glorot_normal(
    seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None
) -> VarianceScaling:
    """Truncated normal of variance ``2 / (fan_in + fan_out)``. Glorot and Bengio, 2010."""
    return VarianceScaling(1.0, "fan_avg", "normal", seed, input_axes, output_axes)


def he_uniform(seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> VarianceScaling:
    """Uniform within ``sqrt(6 / fan_in)`` of 0. https://arxiv.org/abs/1502.01852"""
    return VarianceScaling(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


def he_normal(seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> VarianceScaling:
    """Truncated normal of variance ``2 / fan_in``. https://arxiv.org/abs/1502.01852"""
    return VarianceScaling(2.0, "fan_in", "normal", seed, input_axes, output_axes)


zero = zeros = Zeros
one = ones = Ones
constant = Constant
uniform = random_uniform = RandomUniform
normal = random_normal = RandomNormal
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
identity = IdentityInitializer = Identity
orthogonal = OrthogonalInitializer = Orthogonal

_FUNCTIONS: dict[str, Callable] = {
    f.__name__: f for f in (lecun_uniform, lecun_normal, glorot_uniform, glorot_normal, he_uniform, he_normal)
}
_KNOWN = {
    name: value
    for name, value in list(globals().items())
    if inspect.isclass(value) and issubclass(value, Initializer) and not name.startswith("_")
} | _FUNCTIONS


def serialize(initializer: Any) -> Any:
    """``{"class_name": ..., "config": ...}``, or a custom function's name."""
    return serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """The initializer that ``serialize`` described. Raises ``ValueError`` for an unknown one."""
    if isinstance(config, dict) and config.get("class_name") in _FUNCTIONS:
        return _FUNCTIONS[config["class_name"]](**config.get("config", {}))
    found = lookup(config, _KNOWN, "initializer", custom_objects)
    return found() if isinstance(config, str) and found in _FUNCTIONS.values() else found


def get(identifier: Any) -> Any:
    """An initializer from a name, a config, a class or a callable; ``None`` from ``None``."""
    if identifier is None:
        return None
    if isinstance(identifier, (bool, int, float)):
        raise ValueError(
            f"could not interpret {identifier!r} as an initializer; use Constant({identifier!r})"
        )
    return deserialize(identifier)
