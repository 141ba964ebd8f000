"""Optimizers: how weights change, given gradients."""

from __future__ import annotations

from typing import Any

from kcore.lookup import lookup
from kcore.optimizers import schedules
from kcore.optimizers.optimizer import Optimizer, Slot, clip_norm
from kcore.optimizers.rules import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Nadam,
    RMSprop,
)
from kcore.utils.serialization import get_registered_object, serialize_keras_object

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "Slot",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "clip_norm",
    "deserialize",
    "get",
    "nadam",
    "rmsprop",
    "schedules",
    "serialize",
    "sgd",
]

sgd = SGD
rmsprop = RMSprop
adagrad = Adagrad
adadelta = Adadelta
adam = Adam
adamax = Adamax
nadam = Nadam

_CLASSES = (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, Lion, Lamb, Ftrl, Adafactor)
_KNOWN = {name: cls for cls in _CLASSES for name in (cls.__name__, cls.__name__.lower())}


def serialize(optimizer: Optimizer) -> Any:
    """``{"class_name": ..., "config": ...}``."""
    return serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """The optimizer that ``serialize`` described, whatever the case of its name.

    Raises:
        ValueError: it is unknown.
    """
    name = config.get("class_name") if isinstance(config, dict) else config
    if isinstance(name, str) and get_registered_object(name, custom_objects) is None:
        name = name if name in _KNOWN or name.lower() not in _KNOWN else name.lower()
        config = {**config, "class_name": name} if isinstance(config, dict) else name
    return lookup(config, _KNOWN, "optimizer", custom_objects)


def get(identifier: Any) -> Any:
    """An optimizer from a name, a config or a class; an ``Optimizer`` is returned as it is."""
    if isinstance(identifier, Optimizer):
        return identifier
    found = deserialize(identifier)
    if not isinstance(found, Optimizer):
        raise ValueError(f"could not interpret {identifier!r} as an optimizer")
    return found
