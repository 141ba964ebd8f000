"""Embedding: a row of a table for each index."""

from __future__ import annotations

from typing import Any

from kcore import constraints, initializers, ops, regularizers
from kcore.layers.base import Layer

__all__ = ["Embedding"]


class Embedding(Layer):
    """``embeddings[indices]``: a vector for each non-negative integer.

    Args:
        input_dim: one more than the largest index. output_dim: the length of the vectors.
        mask_zero: whether index 0 is padding, to be masked.
        input_length: the length of sequences, where it is fixed.

    Input ``(batch, ...)`` integers, output ``(batch, ..., output_dim)``. Weight:
    ``embeddings (input_dim, output_dim)``.
    """

    _input_dtype = "int32"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        activity_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        input_length: Any = None,
        **kwargs: Any,
    ):
        if not any(k in kwargs for k in ("input_shape", "batch_input_shape", "batch_shape")):
            lengths = input_length if isinstance(input_length, (list, tuple)) else (input_length,)
            kwargs["input_shape"] = tuple(lengths)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if input_dim <= 0 or output_dim <= 0:
            raise ValueError(
                f"Embedding: input_dim and output_dim must be positive, got {input_dim} and {output_dim}"
            )
        self.input_dim = int(input_dim)
        self.output_dim = int(output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.input_length = input_length

    def build(self, input_shape: tuple) -> None:
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def call(self, inputs: Any) -> Any:
        indices = inputs if inputs.dtype in ("int32", "int64") else ops.cast(inputs, "int32")
        return ops.take(self.embeddings, indices, axis=0)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if self.input_length is None:
            return (*input_shape, self.output_dim)
        lengths = self.input_length if isinstance(self.input_length, (list, tuple)) else (self.input_length,)
        found = tuple(input_shape[1:])
        fits = len(found) == len(lengths) and all(
            a is None or b is None or a == b for a, b in zip(lengths, found, strict=True)
        )
        if not fits:
            raise ValueError(
                f"layer '{self.name}': `input_length` is {self.input_length}, but received input of shape {input_shape}"
            )
        merged = (b if a is None else a for a, b in zip(lengths, found, strict=True))
        return (input_shape[0], *merged, self.output_dim)
