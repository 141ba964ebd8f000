"""Layers that add or multiply by noise in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore import activations, backend, ops
from kcore.layers.base import Layer

__all__ = ["AlphaDropout", "GaussianDropout", "GaussianNoise"]


class _Noise(Layer):
    """Noise in training, nothing at inference."""

    def __init__(self, **kwargs: Any):
        self.seed = kwargs.pop("seed", None)
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)


class GaussianNoise(_Noise):
    """Adds normal noise of mean 0 and standard deviation ``stddev``."""

    def __init__(self, stddev: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.stddev = stddev

    def call(self, inputs: Any, training: Any = None) -> Any:
        key = self._random_key()
        return backend.in_train_phase(
            lambda: inputs + self.stddev * backend.normal_like(inputs, seed=key), inputs, training
        )


class GaussianDropout(_Noise):
    """Multiplies by normal noise of mean 1 and standard deviation ``sqrt(rate / (1 - rate))``.

    Srivastava et al., 2014, http://www.jmlr.org/papers/volume15/srivastava14a/srivastava14a.pdf
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs: Any, training: Any = None) -> Any:
        if not 0 < self.rate < 1:
            return inputs
        key, stddev = self._random_key(), (self.rate / (1 - self.rate)) ** 0.5
        return backend.in_train_phase(
            lambda: inputs * (1.0 + stddev * backend.normal_like(inputs, seed=key)), inputs, training
        )


class AlphaDropout(_Noise):
    """Dropout to SELU's negative limit, rescaled so that mean and variance stay what they were.

    Args:
        rate: the fraction to drop. noise_shape: the shape of the mask. seed: of the mask.

    Klambauer et al., 2017, https://arxiv.org/abs/1706.02515
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        self.rate = rate
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def call(self, inputs: Any, training: Any = None) -> Any:
        if not 0 < self.rate < 1:
            return inputs
        key = self._random_key()
        limit = -activations.SELU_ALPHA * activations.SELU_SCALE
        a = ((1 - self.rate) * (1 + self.rate * limit**2)) ** -0.5
        b = -a * limit * self.rate

        def dropped() -> Any:
            keep = backend.keep_mask(inputs, self.rate, self.noise_shape, key)
            return a * ops.where(keep, inputs, limit) + b

        return backend.in_train_phase(dropped, inputs, training)
