"""Models and weights in Keras 2's HDF5 layout, written atomically; reading never runs code."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kcore.graph import Variable, write_variables
from kcore.layers.base import Layer
from kcore.lookup import suggestion
from kcore.saving.config import KERAS_VERSION, model_description, model_from_config, plain
from kcore.utils.serialization import custom_object_scope, deserialization_scope, serialize_keras_object

# HDF5 stores attributes in object headers, which hold 64 KiB less some bookkeeping.
ATTRIBUTE_LIMIT = 64512


def save_model(model: Any, filepath: Any, overwrite: bool = True, include_optimizer: bool = True) -> None:
    """Write ``model`` to an HDF5 file: architecture, weights, and how it was compiled, with optimizer state.

    Args:
        filepath: a path, or an open ``h5py.Group``.
        overwrite: whether to replace an existing file without asking.
        include_optimizer: whether to write the optimizer's state.
    """
    with _writing(filepath, overwrite) as group:
        if group is not None:
            _write_model(model, group, include_optimizer)


def _write_model(model: Any, group: h5py.Group, include_optimizer: bool) -> None:
    description = model_description(model)
    group.attrs["keras_version"] = KERAS_VERSION.encode()
    group.attrs["backend"] = b"kcore"
    group.attrs["model_config"] = _json(
        {"class_name": description["class_name"], "config": description["config"]}
    )
    write_weights(group.create_group("model_weights"), model.layers)
    if model.optimizer is None or not include_optimizer:
        return
    group.attrs["training_config"] = _json(training_config(model))
    group.attrs["kcore_seed"] = np.int64(model._random_seed())
    values = model.optimizer.get_weights()
    if values:
        names = [w.name for w in model.optimizer.weights]
        _write_arrays(group.create_group("optimizer_weights"), _distinct(names), values)


def training_config(model: Any) -> dict[str, Any]:
    """How the model was compiled, as plain values."""
    optimizer = model.optimizer
    compiled = model._compiled_with
    return {
        "optimizer_config": {"class_name": type(optimizer).__name__, "config": optimizer.get_config()},
        "loss": _named(compiled["loss"]),
        "metrics": _named(compiled["metrics"]),
        "weighted_metrics": _named(compiled["weighted_metrics"]),
        "sample_weight_mode": compiled["sample_weight_mode"],
        "loss_weights": compiled["loss_weights"],
    }


def _named(value: Any) -> Any:
    """Functions as their names, objects as their configs, in the same nesting."""
    if isinstance(value, dict):
        return {k: _named(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(v) for v in value]
    if value is None or isinstance(value, str):
        return value
    return serialize_keras_object(value)


def _json(value: Any) -> bytes:
    return json.dumps(value, default=plain).encode("utf8")


def load_model(
    filepath: Any, custom_objects: dict[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model in an HDF5 file that ``Model.save`` of kcore or of any Keras wrote.

    Args:
        filepath: a path, or an open ``h5py.Group``.
        custom_objects: the file's names of your own classes and functions.
        compile: whether to compile as the saved model was, with its optimizer's state.
        safe_mode: refuse ``Lambda`` layers that hold Python bytecode, which could do anything.

    Raises:
        OSError: there is no such file, or it is no HDF5 file, or it is damaged.
        ValueError: it holds no model, or one of a class that is not known.
    """
    with _reading(filepath) as group:
        config = group.attrs.get("model_config")
        if config is None:
            raise ValueError(f"No model found in {_described(filepath)}: it has no 'model_config'.")
        with deserialization_scope(safe_mode):
            model = model_from_config(_parsed(config, "model_config"), custom_objects)
        if "model_weights" not in group:
            raise ValueError(f"{_described(filepath)} has a model's configuration, but no weights.")
        read_weights(group["model_weights"], model)
        if compile:
            _restore_training(model, group, custom_objects)
    return model


def _parsed(text: Any, what: str) -> Any:
    try:
        return json.loads(text.decode("utf8") if isinstance(text, bytes) else text)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"the file's '{what}' is not JSON: {error}") from error


def _restore_training(model: Any, group: h5py.Group, custom_objects: dict[str, Any] | None) -> None:
    from kcore import optimizers

    text = group.attrs.get("training_config")
    if text is None:
        warnings.warn(
            "No training configuration found in save file: the model was *not* compiled. Compile it manually.",
            stacklevel=3,
        )
        return
    config = _parsed(text, "training_config")
    with custom_object_scope(custom_objects):
        model.compile(
            optimizer=optimizers.deserialize(config["optimizer_config"], custom_objects),
            loss=config.get("loss"),
            metrics=config.get("metrics"),
            loss_weights=config.get("loss_weights"),
            sample_weight_mode=config.get("sample_weight_mode"),
            weighted_metrics=config.get("weighted_metrics"),
        )
    if "kcore_seed" in group.attrs:
        model._seed = int(group.attrs["kcore_seed"])
    if "optimizer_weights" in group:
        state = group["optimizer_weights"]
        values = [np.asarray(state[name]) for name in _read_names(state, "weight_names")]
        try:
            model.optimizer.build(model.trainable_weights)
            model.optimizer.set_weights(values)
        except ValueError as error:
            warnings.warn(
                "Error in loading the saved optimizer state. As a result, your model is starting with a "
                f"freshly initialized optimizer. ({error})",
                stacklevel=3,
            )


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights of all layers to an HDF5 file."""
    with _writing(filepath, overwrite) as group:
        if group is not None:
            write_weights(group, model.layers)


def load_weights(
    model: Any, filepath: Any, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False
) -> None:
    """Read weights from an HDF5 file of ``save_weights`` or ``save``.

    Args:
        by_name: match layers by name instead of by position; layers that the file lacks keep their weights.
        skip_mismatch: with ``by_name``, leave layers whose shapes differ, with a warning.
        reshape: accept weights of another shape with as many elements.

    Raises:
        OSError: the file can't be read. ValueError: the weights don't fit; the model is then unchanged.
    """
    if skip_mismatch and not by_name:
        raise ValueError(
            "When calling model.load_weights, skip_mismatch can only be set to True when by_name is True."
        )
    with _reading(filepath) as group:
        if "layer_names" not in group.attrs and "layer_names0" not in group.attrs:
            if "model_weights" not in group:
                raise ValueError(f"No weights found in {_described(filepath)}: it has no 'layer_names'.")
            group = group["model_weights"]
        if by_name:
            read_weights_by_name(group, model, skip_mismatch, reshape)
        else:
            read_weights(group, model, reshape)


# Groups of weights.


def ordered_weights(layer: Layer) -> list[Variable]:
    """A layer's weights in the order of files: a model inside a model lists its trainable ones first."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def write_weights(group: h5py.Group, layers: Sequence[Layer]) -> None:
    """One subgroup a layer, its weights under their names."""
    _write_names(group, "layer_names", [layer.name for layer in layers])
    group.attrs["backend"] = b"kcore"
    group.attrs["keras_version"] = KERAS_VERSION.encode()
    for layer in layers:
        weights = ordered_weights(layer)
        names = _distinct([w.name for w in weights])
        _write_arrays(group.create_group(layer.name), names, [w.numpy() for w in weights])


def _distinct(names: list[str]) -> list[str]:
    """Names made unique, as datasets need them."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            base, _, index = name.rpartition(":")
            name = f"{base or index}_{seen[name] - 1}:{index if base else 0}"
        result.append(name)
    return result


def _write_arrays(group: h5py.Group, names: list[str], values: Sequence[np.ndarray]) -> None:
    _write_names(group, "weight_names", names)
    for name, value in zip(names, values, strict=True):
        group.create_dataset(name, data=value)


def _write_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    """A list of names as an attribute, or as several where it is too long for one."""
    encoded = [name.encode("utf8") for name in names]
    too_long = [n for n in encoded if len(n) > ATTRIBUTE_LIMIT]
    if too_long:
        raise RuntimeError(
            f"names longer than {ATTRIBUTE_LIMIT} bytes cannot be saved: {too_long[0][:60]!r}..."
        )
    array = np.array(encoded) if encoded else np.array([], dtype="S1")
    pieces = 1
    while any(part.nbytes > ATTRIBUTE_LIMIT for part in np.array_split(array, pieces)):
        pieces += 1
    if pieces == 1:
        group.attrs[attribute] = array
    else:
        for i, part in enumerate(np.array_split(array, pieces)):
            group.attrs[f"{attribute}{i}"] = part


def _read_names(group: h5py.Group, attribute: str) -> list[str]:
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        parts = []
        while f"{attribute}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [
        n.decode("utf8") if isinstance(n, bytes) else str(n)
        for part in parts
        for n in np.asarray(part).ravel()
    ]


def _layer_arrays(group: h5py.Group, name: str) -> list[np.ndarray]:
    if name not in group:
        raise ValueError(f"the file lists a layer '{name}', but holds no group of that name")
    layer = group[name]
    names = _read_names(layer, "weight_names")
    missing = [n for n in names if n not in layer]
    if missing:
        raise ValueError(f"layer '{name}' of the file lists a weight '{missing[0]}' that it doesn't hold")
    return [np.asarray(layer[n]) for n in names]


def read_weights(group: h5py.Group, model: Any, reshape: bool = False) -> None:
    """Set the model's weights by position. Raises ``ValueError``, changing nothing, if they don't fit."""
    layers = [layer for layer in model.layers if ordered_weights(layer)]
    names = [
        n for n in _read_names(group, "layer_names") if n in group and _read_names(group[n], "weight_names")
    ]
    if len(names) != len(layers):
        raise ValueError(
            f"You are trying to load a weight file containing {len(names)} layers into a model "
            f"with {len(layers)} layers."
        )
    assignments: list[tuple[Variable, np.ndarray]] = []
    for layer, name in zip(layers, names, strict=True):
        assignments += _fitted(layer, name, _layer_arrays(group, name), reshape)
    write_variables(assignments)


def read_weights_by_name(
    group: h5py.Group, model: Any, skip_mismatch: bool = False, reshape: bool = False
) -> None:
    """Set the weights of those layers that the file has under the same name."""
    by_name: dict[str, Layer] = {layer.name: layer for layer in model.layers}
    assignments: list[tuple[Variable, np.ndarray]] = []
    for name in _read_names(group, "layer_names"):
        layer = by_name.get(name)
        if layer is None:
            continue
        try:
            assignments += _fitted(layer, name, _layer_arrays(group, name), reshape)
        except ValueError as error:
            if not skip_mismatch:
                raise
            warnings.warn(f"Skipping loading of weights for layer {name}: {error}", stacklevel=4)
    write_variables(assignments)


def _fitted(
    layer: Layer, name: str, arrays: list[np.ndarray], reshape: bool
) -> list[tuple[Variable, np.ndarray]]:
    """The layer's weights with their new values, converted from older layouts and checked."""
    variables = ordered_weights(layer)
    convert = getattr(layer, "convert_saved_weights", None)
    if convert is not None:
        arrays = convert(arrays)
    if len(arrays) != len(variables):
        raise ValueError(
            f"Layer '{layer.name}' (named '{name}' in the save file) expects {len(variables)} weights, but the saved "
            f"weights have {len(arrays)} elements."
        )
    pairs = []
    for variable, array in zip(variables, arrays, strict=True):
        if reshape and array.shape != variable.shape and array.size == np.prod(variable.shape):
            array = array.reshape(variable.shape)
        if array.shape != variable.shape:
            raise ValueError(
                f"Layer '{layer.name}' (named '{name}' in the save file): weight '{variable.name}' has shape "
                f"{variable.shape}, but the saved weight has shape {array.shape}."
            )
        if array.dtype.kind not in "biuf":
            raise ValueError(f"the saved weight '{variable.name}' holds {array.dtype}, not numbers")
        pairs.append((variable, array))
    return pairs


# Files.


def _described(filepath: Any) -> str:
    return f"'{filepath}'" if isinstance(filepath, (str, os.PathLike)) else "the HDF5 group"


@contextlib.contextmanager
def _reading(filepath: Any) -> Iterator[h5py.Group]:
    if isinstance(filepath, h5py.Group):
        yield filepath
        return
    path = Path(os.fspath(filepath)) if isinstance(filepath, (str, os.PathLike)) else filepath
    if isinstance(path, Path) and not path.exists():
        raise FileNotFoundError(f"No file or directory found at {path}{_neighbours(path)}")
    if isinstance(path, Path) and path.is_dir():
        raise OSError(f"{path} is a directory (a SavedModel?); kcore reads .h5 and .keras files")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise OSError(
            f"Unable to read {_described(filepath)}: not an HDF5 file, or damaged ({error})"
        ) from error
    with file:
        try:
            yield file
        except (KeyError, RuntimeError) as error:
            raise OSError(f"{_described(filepath)} is damaged: {error}") from error


def _neighbours(path: Path) -> str:
    """A hint at a file of a similar name."""
    folder = path.parent
    names = {p.name: p for p in folder.iterdir()} if folder.is_dir() else {}
    hint = suggestion(path.name, names) if names else ""
    return hint if "did you mean" in hint else ""


@contextlib.contextmanager
def _writing(filepath: Any, overwrite: bool) -> Iterator[h5py.Group | None]:
    """An HDF5 file that appears under its name only when it is complete; ``None`` if the user declines."""
    if isinstance(filepath, h5py.Group):
        yield filepath
        return
    path = Path(os.fspath(filepath))
    if not overwrite and path.is_file():
        from kcore.utils.io_utils import ask_to_proceed_with_overwrite

        if not ask_to_proceed_with_overwrite(str(path)):
            yield None
            return
    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        yield file


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[str]:
    """The name of a temporary file beside ``path`` that replaces it at the end, or vanishes on an error."""
    handle, temporary = tempfile.mkstemp(dir=path.parent or Path("."), prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            os.chmod(temporary, path.stat().st_mode if path.exists() else 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
