"""Models: ``Sequential``, the functional ``Model``, and what copies and rebuilds them."""

from kcore.layers.input_layer import Input, InputLayer
from kcore.models.clone import clone_model
from kcore.models.model import Model
from kcore.models.sequential import Sequential
from kcore.saving import load_model, model_from_config, model_from_json, model_from_yaml, save_model

__all__ = [
    "Input",
    "InputLayer",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_config",
    "model_from_json",
    "model_from_yaml",
    "save_model",
]
