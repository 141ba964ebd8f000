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
from kcore.layers.serialization import deserialize
from kcore.layers.wrappers import *
from kcore.utils.serialization import serialize_keras_object


def serialize(layer: Layer) -> dict[str, Any]:
    """The config of a layer, with its class."""
    return serialize_keras_object(layer)
