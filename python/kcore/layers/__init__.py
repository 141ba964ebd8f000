"""The layers."""

from kcore.layers.base import InputSpec, Layer
from kcore.layers.input_layer import Input, InputLayer
