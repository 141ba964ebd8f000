"""The layers."""

from typing import Any

from kcore.layers.advanced_activations import *
from kcore.layers.base import InputSpec, Layer
from kcore.layers.convolutional import *
from kcore.layers.core import *
from kcore.layers.embeddings import *
from kcore.layers.input_layer import Input, InputLayer
from kcore.layers.merge import *
from kcore.layers.noise import *
from kcore.layers.normalization import *
from kcore.layers.pooling import *
from kcore.layers.recurrent import *
from kcore.layers.wrappers import *
from kcore.utils.serialization import deserialize_keras_object, serialize_keras_object


def serialize(layer: Layer) -> dict[str, Any]:
    """The config of a layer, with its class."""
    return serialize_keras_object(layer)


def deserialize(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """The layer that ``serialize`` described.

    Raises:
        ValueError: the class is unknown, or the config holds bytecode and ``safe_mode`` is on.
    """
    return deserialize_keras_object(
        config, custom_objects=custom_objects, printable_module_name="layer", safe_mode=safe_mode
    )
