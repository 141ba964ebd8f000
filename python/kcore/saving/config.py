"""A model's architecture as plain values and JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

KERAS_VERSION = "2.3.1"  # whose format the files have


def model_description(model: Any) -> dict[str, Any]:
    """The class and configuration of ``model``, and whose format this is."""
    return {
        "class_name": "Sequential" if is_sequential(model) else type(model).__name__,
        "config": model.get_config(),
        "keras_version": KERAS_VERSION,
        "backend": "kcore",
    }


def is_sequential(model: Any) -> bool:
    from kcore.models.sequential import Sequential

    return type(model) is Sequential


def plain(value: Any) -> Any:
    """``json.dumps``'s fallback for NumPy values, dtypes, types and objects with a config."""
    if isinstance(value, np.ndarray):
        return {"type": "ndarray", "value": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if callable(value):
        return value.__name__
    if isinstance(value, np.dtype):
        return value.name
    raise TypeError(f"cannot write {value!r} to JSON")


def model_from_config(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """The model that ``{"class_name": ..., "config": ...}`` describes, with new weights."""
    from kcore.layers.serialization import deserialize

    if isinstance(config, list):
        raise TypeError(
            "`model_from_config` expects a dictionary, not a list. Maybe you meant `Sequential.from_config(config)`?"
        )
    return deserialize(config, custom_objects)


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """The model that ``Model.to_json`` described, with new weights."""
    return model_from_config(json.loads(json_string), custom_objects)


def model_from_yaml(yaml_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    raise RuntimeError(
        "model_from_yaml is not supported, because loading YAML can run code; use model_from_json"
    )
