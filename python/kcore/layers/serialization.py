"""Layers to and from ``{"class_name": ..., "config": ...}``."""

from __future__ import annotations

from typing import Any

from kcore.layers.base import Layer
from kcore.utils.serialization import deserialize_keras_object


def serialize(layer: Layer) -> dict[str, Any]:
    """The class and configuration of ``layer``, without weights."""
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def deserialize(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """The layer or model that ``config`` describes, with new weights.

    Raises:
        ValueError: its class is unknown (the message names the nearest known one), or the config holds
            bytecode and ``safe_mode`` is on.
    """
    return deserialize_keras_object(config, known_classes(), custom_objects, "layer", safe_mode=safe_mode)


def known_classes() -> dict[str, Any]:
    """Every class that a model's config may name: kcore's layers and models."""
    from kcore import layers, models

    names = {n: o for n, o in vars(layers).items() if isinstance(o, type) and issubclass(o, Layer)}
    return {**names, "Model": models.Model, "Functional": models.Model, "Sequential": models.Sequential}
