"""Models and weights to and from files."""

from kcore.saving.config import model_from_config, model_from_json, model_from_yaml
from kcore.saving.hdf5 import load_model, load_weights, save_model, save_weights

__all__ = [
    "load_model",
    "load_weights",
    "model_from_config",
    "model_from_json",
    "model_from_yaml",
    "save_model",
    "save_weights",
]
