"""``Model``: a graph of layers that can be trained, saved and called."""

from __future__ import annotations

from typing import Any

from kcore.training.trainer import Trainer


class Model(Trainer):
    """Layers between ``inputs`` and ``outputs``.

    Args:
        inputs: a tensor from ``Input``, or a list or dictionary of them.
        outputs: a tensor that layers made of them, or a list or dictionary of them.
        name: the model's name.

    A subclass may instead make layers in ``__init__`` and define ``call``; it is built on the first data.

    >>> x = Input(shape=(32,))
    >>> model = Model(inputs=x, outputs=Dense(2)(x))
    """

    def save(
        self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True, **kwargs: Any
    ) -> None:
        """Write architecture, weights, and (if compiled) training configuration and optimizer state."""
        from kcore.saving import save_model

        save_model(self, filepath, overwrite, include_optimizer, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights in Keras's HDF5 layout."""
        from kcore.saving import save_weights

        save_weights(self, filepath, overwrite)

    def load_weights(
        self, filepath: Any, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False
    ) -> None:
        """Read weights that ``save_weights`` or ``save`` wrote, by position or by layer name."""
        from kcore.saving import load_weights

        load_weights(self, filepath, by_name, skip_mismatch, reshape)
