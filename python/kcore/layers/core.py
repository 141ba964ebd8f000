"""Dense, activation, dropout, masking, and layers that only move elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcore import activations, backend, constraints, initializers, ops, regularizers
from kcore.layers.base import InputSpec, Layer
from kcore.utils.serialization import deserialize_keras_object, func_dump, func_load, has_arg

__all__ = [
    "Activation",
    "ActivityRegularization",
    "Dense",
    "Dropout",
    "Flatten",
    "Lambda",
    "Masking",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis.

    Args:
        units: the extent of the output's last axis.
        activation: a name or function; linear if ``None``.
        use_bias: whether to add a bias.

    Input ``(batch, ..., input_dim)``, output ``(batch, ..., units)``. Weights: ``kernel (input_dim, units)``,
    ``bias (units,)``.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = _positive("units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        input_dim = input_shape[-1]
        if input_dim is None:
            raise ValueError(
                f"layer '{self.name}': the last dimension of the input must be known, got {input_shape}"
            )
        self.kernel = self.add_weight(
            "kernel",
            (input_dim, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: input_dim})
        self.built = True

    def call(self, inputs: Any) -> Any:
        y = ops.matmul(inputs, self.kernel)
        return self.activation(y + self.bias if self.use_bias else y)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.units)


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: a name (``"relu"``) or a function of a tensor.
    """

    def __init__(self, activation: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)


class Dropout(Layer):
    """In training, sets a fraction of the elements to zero and divides the rest by ``1 - rate``.

    Args:
        rate: the fraction, in ``[0, 1]``; 0 and 1 leave the input as it is.
        noise_shape: the shape of the mask, which broadcasts to the input: ``(None, 1, None)`` drops the same
            features at all time steps. ``None`` entries are the input's.
        seed: of the mask. Without one, the layer's name and the global seed determine it.

    Srivastava et al., 2014, http://www.jmlr.org/papers/volume15/srivastava14a/srivastava14a.pdf
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.rate = min(1.0, max(0.0, float(rate)))
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = seed
        self.supports_masking = True

    def _noise_shape(self) -> Sequence[int | None] | None:
        return self.noise_shape

    def call(self, inputs: Any, training: Any = None) -> Any:
        if not 0 < self.rate < 1:
            return inputs
        noise_shape, seed = self._noise_shape(), self._random_key()
        return backend.in_train_phase(
            lambda: backend.dropout(inputs, self.rate, noise_shape, seed), inputs, training
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)


class _SpatialDropout(Dropout):
    rank: int

    def __init__(self, rate: float, data_format: str | None = None, **kwargs: Any):
        seed = kwargs.pop("seed", None)
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = backend.normalize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _noise_shape(self) -> tuple:
        ones = (1,) * self.rank
        return (None, None, *ones) if self.data_format == "channels_first" else (None, *ones, None)


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of ``(batch, timesteps, channels)``.

    Tompson et al., 2014, https://arxiv.org/abs/1411.4280
    """

    rank = 1

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(rate, data_format="channels_last", **kwargs)


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of a batch of images.

    Args:
        rate: the fraction of channels. data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of a batch of volumes.

    Args:
        rate: the fraction of channels. data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 3


class Masking(Layer):
    """Masks time steps whose features all equal ``mask_value``, and sets them to zero.

    Args:
        mask_value: a number.
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        keep = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return inputs * ops.cast(keep, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)


class ActivityRegularization(Layer):
    """Leaves its input as it is and adds ``l1 * sum(abs(x)) + l2 * sum(x ** 2)`` to the loss.

    Args:
        l1, l2: the factors.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any):
        kwargs.pop("activity_regularizer", None)
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1 = l1
        self.l2 = l2
        self.supports_masking = True

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activity_regularizer"]
        return config


class Reshape(Layer):
    """Reshapes each element of the batch.

    Args:
        target_shape: without the batch axis; one entry may be -1.
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.target_shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if self.target_shape.count(-1) > 1:
            raise ValueError(f"Reshape: target_shape may hold one -1, got {self.target_shape}")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        inner, target = tuple(input_shape[1:]), self.target_shape
        known = math.prod(d for d in target if d != -1)
        if None in inner:
            return (input_shape[0], *(None if d == -1 else d for d in target))
        size = math.prod(inner)
        if (size != known) if -1 not in target else (known == 0 or size % known):
            raise ValueError(
                f"layer '{self.name}': total size of new array must be unchanged, "
                f"cannot reshape {inner} ({size} elements) to {target}"
            )
        return (input_shape[0], *(size // known if d == -1 else d for d in target))

    def call(self, inputs: Any) -> Any:
        batch, *inner = self.compute_output_shape(inputs.shape)
        if None not in inner:
            return ops.reshape(inputs, (-1 if batch is None else batch, *inner))
        return ops.reshape(inputs, (ops.shape(inputs)[0], *self.target_shape))


class Permute(Layer):
    """Transposes each element of the batch.

    Args:
        dims: a permutation of the axes 1, 2, ...; ``(2, 1)`` swaps the first two after the batch.
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: `dims` must be a permutation of 1..{len(self.dims)}, each once, got {self.dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        return ops.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], *(input_shape[d] for d in self.dims))


class Flatten(Layer):
    """Makes each element of the batch a vector.

    Args:
        data_format: of the input; ``"channels_first"`` inputs are flattened in the order of
            ``"channels_last"``, so that weights fit both.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = backend.normalize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if None in input_shape[1:]:
            raise ValueError(
                f"The shape of the input to Flatten layer '{self.name}' is not fully defined (got {input_shape[1:]}). "
                "Pass a complete `input_shape` or `batch_input_shape` to the first layer of the model."
            )
        return (input_shape[0], math.prod(input_shape[1:]))

    def call(self, inputs: Any) -> Any:
        _, size = self.compute_output_shape(inputs.shape)
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = ops.moveaxis(inputs, 1, -1)
        return ops.reshape(inputs, (-1 if size else ops.shape(inputs)[0], size))


class RepeatVector(Layer):
    """Repeats ``(batch, features)`` to ``(batch, n, features)``.

    Args:
        n: how often.
    """

    def __init__(self, n: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.n = _positive("n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        return ops.repeat(ops.expand_dims(inputs, 1), self.n, axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.n, input_shape[1])


class Lambda(Layer):
    """Any function of tensors as a layer.

    Args:
        function: takes the input tensor (or list), returns a tensor; written in ``kcore.ops`` or ``K``.
        output_shape: the shape of the output without batch, or a function of the input shape; found by
            tracing if ``None``.
        mask: the output's mask, or a function ``mask(inputs, mask)``.
        arguments: keyword arguments for ``function``.

    A named function is saved by name and looked up in ``custom_objects`` on loading. A lambda is saved as
    bytecode, which loading refuses unless ``safe_mode=False``: it could do anything.
    """

    def __init__(
        self,
        function: Callable,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda: `function` must be callable, got {function!r}")
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None
        if not (output_shape is None or callable(output_shape) or isinstance(output_shape, (tuple, list))):
            raise TypeError(
                f"Lambda: `output_shape` must be None, a tuple or a function, got {output_shape!r}"
            )
        self._output_shape = output_shape
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        arguments = dict(self.arguments)
        if has_arg(self.function, "mask"):
            arguments["mask"] = mask
        return self.function(inputs, **arguments)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            shape = self._output_shape(input_shape)
            if not isinstance(shape, (list, tuple)):
                raise ValueError(
                    f"Lambda: `output_shape` function must return a tuple or a list of tuples, got {shape!r}"
                )
            return [tuple(s) for s in shape] if isinstance(shape[0], (list, tuple)) else tuple(shape)
        first = input_shape[0] if isinstance(input_shape, list) else input_shape
        return (first[0] if first else None, *self._output_shape)

    def get_config(self) -> dict[str, Any]:
        function, function_type = _dump(self.function)
        output_shape, output_shape_type = _dump(self._output_shape)
        mask, mask_type = _dump(self.mask)
        config = self._base_config()
        config.update(
            function=function,
            function_type=function_type,
            output_shape=output_shape,
            output_shape_type=output_shape_type,
            arguments=self.arguments,
        )
        if mask is not None:
            config.update(mask=mask, mask_type=mask_type)
        for module, room in _ROOMS.items():
            if isinstance(function, str) and getattr(room, function, None) is self.function:
                config["module"] = module
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None, safe_mode: bool = True
    ) -> Lambda:
        """Raises ``ValueError`` for bytecode unless ``safe_mode`` is off."""
        config = dict(config)
        public = _public_functions(config.pop("module", None))
        for key in ("function", "output_shape", "mask"):
            kind = config.pop(f"{key}_type", None)
            if config.get(key) is not None:
                config[key] = _load(config[key], kind, key, {**public, **(custom_objects or {})}, safe_mode)
        config.pop("output_shape_module", None)
        config["arguments"] = {
            k: np.array(v["value"]) if isinstance(v, dict) and v.get("type") == "ndarray" else v
            for k, v in (config.get("arguments") or {}).items()
        }
        return cls(**config)


_ROOMS = {"kcore.backend": backend, "kcore.ops": ops}  # whose functions are known without custom_objects


def _public_functions(module: Any) -> dict[str, Any]:
    """The functions of a room of this package; none for any other module that a config may name."""
    room = _ROOMS.get(module) if isinstance(module, str) else None
    return {k: v for k, v in (vars(room) if room else {}).items() if callable(v) and not k.startswith("_")}


class _Name(str):
    """A function's name in a config, with the function itself as long as the config stays in this process."""

    function: Any


class _Bytecode(tuple):
    """A function's bytecode in a config, with the function itself as long as the config stays in this process."""

    function: Any


def _dump(value: Any) -> tuple[Any, str]:
    if not callable(value):
        return value, "raw"
    name = getattr(value, "__name__", type(value).__name__)
    is_lambda = name == "<lambda>"
    code: Any = _Bytecode(func_dump(value)) if is_lambda else _Name(name)
    code.function = value
    return code, "lambda" if is_lambda else "function"


def _load(value: Any, kind: str | None, what: str, custom_objects: dict, safe_mode: bool) -> Any:
    if isinstance(value, (_Name, _Bytecode)):
        return value.function
    if kind == "lambda":
        names = {"K": backend, "backend": backend, "ops": ops, "np": np, **custom_objects}
        return func_load(value, globs=names, safe_mode=safe_mode)
    if kind == "function" or isinstance(value, (str, dict)):
        return deserialize_keras_object(
            value,
            custom_objects=custom_objects,
            printable_module_name=f"{what} in Lambda layer",
            safe_mode=safe_mode,
        )
    return tuple(value) if isinstance(value, list) else value


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value <= 0:
        raise ValueError(f"`{name}` must be a positive integer, got {value!r}")
    return int(value)
