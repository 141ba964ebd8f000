"""Keras's ``generic_utils``: small list helpers, and the names that Keras 2 keeps in this module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from .progbar import Progbar
from .serialization import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    enable_unsafe_deserialization,
    func_dump,
    func_load,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    has_arg,
    register_keras_serializable,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "check_for_unexpected_keys",
    "custom_object_scope",
    "deserialize_keras_object",
    "enable_unsafe_deserialization",
    "func_dump",
    "func_load",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "getargspec",
    "has_arg",
    "is_all_none",
    "object_list_uid",
    "register_keras_serializable",
    "serialize_keras_object",
    "slice_arrays",
    "to_list",
    "transpose_shape",
    "unpack_singleton",
]


def getargspec(fn: Callable) -> inspect.FullArgSpec:
    """The argument names and defaults of a function."""
    return inspect.getfullargspec(fn)


def to_list(x, allow_tuple: bool = False) -> list:
    """``x`` if it is a list, else ``[x]``; with ``allow_tuple`` a tuple becomes a list."""
    if isinstance(x, list):
        return x
    if allow_tuple and isinstance(x, tuple):
        return list(x)
    return [x]


def unpack_singleton(x):
    """The only element of a sequence of one, else ``x``."""
    return x[0] if len(x) == 1 else x


def object_list_uid(object_list) -> str:
    """A string that tells lists of different objects apart."""
    return ", ".join(str(abs(id(item))) for item in to_list(object_list))


def is_all_none(iterable_or_element) -> bool:
    """Whether it is None, or a list or tuple of nothing else."""
    if not isinstance(iterable_or_element, (list, tuple)):
        iterable_or_element = [iterable_or_element]
    return all(element is None for element in iterable_or_element)


def slice_arrays(arrays, start=None, stop=None):
    """``arrays[start:stop]`` of an array, or of each in a list (``None`` stays ``None``).

    ``start`` may be a list of indices instead; they are sorted first for HDF5, which reads no other order.
    """
    if arrays is None:
        return [None]
    if isinstance(start, list) and stop is not None:
        raise ValueError("`stop` has no meaning when `start` is a list of indices.")
    if isinstance(arrays, list):
        return [None if array is None else slice_arrays(array, start, stop) for array in arrays]
    if start is None and stop is None:
        return [None]
    if hasattr(start, "__len__"):
        if hasattr(start, "shape"):
            start = start.tolist()
        return arrays[start]
    return arrays[start:stop] if hasattr(arrays, "__getitem__") else [None]


def transpose_shape(shape: tuple, target_format: str, spatial_axes: Iterable[int]) -> tuple:
    """A channels-last shape with its channels moved to where ``target_format`` has them.

    Args:
        shape: channels last; with the batch dimension if ``spatial_axes`` start at 1.
        target_format: ``"channels_first"`` or ``"channels_last"``.
        spatial_axes: of the spatial dimensions in a channels-last shape, e.g. ``(1, 2)``.
    """
    spatial = tuple(spatial_axes)
    if target_format == "channels_first":
        return (*shape[: spatial[0]], shape[-1], *(shape[axis] for axis in spatial))
    if target_format == "channels_last":
        return tuple(shape)
    raise ValueError(
        f"The `data_format` must be 'channels_first' or 'channels_last', received: {target_format!r}"
    )


def check_for_unexpected_keys(name: str, input_dict: dict[str, Any], expected_values: Iterable[str]) -> None:
    """Raises ValueError if a dictionary has keys that aren't among the expected ones."""
    expected = list(expected_values)
    unknown = sorted(set(input_dict) - set(expected))
    if unknown:
        raise ValueError(
            f"Unknown entries in `{name}` dictionary: {unknown}. Only these are known: {expected}"
        )
