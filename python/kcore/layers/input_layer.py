"""``Input``: where tensors enter a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore.graph import Tensor, placeholder
from kcore.layers.base import Layer
from kcore.layers.node import History, Node


class InputLayer(Layer):
    """The entry of a model: makes a placeholder.

    Args:
        input_shape: the shape without the batch axis. batch_size: a fixed batch size.
        batch_input_shape: the shape with the batch axis (also ``batch_shape``).
        dtype: of the data; ``floatx()`` if not given. input_tensor: a tensor to use instead of a new one.
        sparse, ragged: must be false. optional: accepted.
    """

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        dtype: Any = None,
        input_tensor: Tensor | None = None,
        sparse: bool = False,
        name: str | None = None,
        batch_shape: Sequence[int | None] | None = None,
        shape: Sequence[int | None] | None = None,
        **kwargs: Any,
    ):
        if sparse or kwargs.pop("ragged", False):
            raise ValueError("InputLayer: sparse and ragged inputs are not supported; pass dense arrays")
        kwargs.pop("optional", None)
        batch_input_shape = batch_input_shape if batch_input_shape is not None else batch_shape
        input_shape = input_shape if input_shape is not None else shape
        if input_shape is not None and batch_input_shape is not None:
            raise ValueError(
                "Only provide the input_shape OR batch_input_shape argument to InputLayer, not both at the same time."
            )
        if input_tensor is not None:
            batch_input_shape, dtype = tuple(input_tensor.shape), input_tensor.dtype
        elif batch_input_shape is None:
            if input_shape is None:
                raise ValueError(
                    "An Input layer should be passed either a `batch_input_shape` or an `input_shape`."
                )
            batch_input_shape = (batch_size, *input_shape)
        super().__init__(name=name or None, dtype=dtype, batch_input_shape=tuple(batch_input_shape), **kwargs)
        if name is None:
            self.name = self.name.replace("input_layer", "input")
        self.trainable = False
        self.built = True
        self.supports_masking = True
        self.sparse = False
        tensor = (
            placeholder(self.batch_input_shape, self.dtype, name=self.name)
            if input_tensor is None
            else input_tensor
        )
        tensor._keras_mask = None  # type: ignore[attr-defined]
        tensor._keras_history = History(self, 0, 0)  # type: ignore[attr-defined]
        shape_ = tuple(tensor.shape)
        Node(self, [], [], [], [tensor], [tensor], [None], [None], [shape_], [shape_])

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_input_shape": self.batch_input_shape,
            "dtype": self.dtype,
            "sparse": self.sparse,
            "name": self.name,
        }


def Input(
    shape: Sequence[int | None] | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    dtype: Any = None,
    sparse: bool = False,
    tensor: Tensor | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """A symbolic tensor to build a functional model on.

    Args:
        shape: without the batch axis, such as ``(32,)`` for batches of 32-vectors; ``None`` for unknown.
        batch_shape: with the batch axis. batch_size: a fixed batch size, with ``shape``.
        name: unique within the model. dtype: of the data; ``floatx()`` if not given.
        tensor: an existing tensor to wrap.

    >>> x = Input(shape=(32,))
    >>> y = Dense(16, activation="softmax")(x)
    >>> model = Model(x, y)
    """
    if batch_shape is None and tensor is None:
        if shape is None:
            raise ValueError(
                "Please provide to Input either a `shape` or a `batch_shape` argument. Note that "
                "`shape` does not include the batch dimension."
            )
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        batch_shape = (batch_size, *shape)
    layer = InputLayer(
        batch_input_shape=batch_shape, name=name, dtype=dtype, sparse=sparse, input_tensor=tensor
    )
    return layer._inbound_nodes[0].output_tensors[0]
