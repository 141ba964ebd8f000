"""What users pass as ``x``, ``y``, ``sample_weight`` and ``class_weight``, checked and brought into lists.

Errors name the input or target, what it was given and what it expected.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..utils.io_utils import HDF5Matrix, read_rows


class Spec(NamedTuple):
    """What a model expects of one input or target.

    Attributes:
        name: of the input or output.
        shape: with the batch dimension; ``None`` in it is any size; ``None`` for it is any shape.
        dtype: to convert to, or ``None`` to leave the data's own.
    """

    name: str
    shape: tuple[int | None, ...] | None = None
    dtype: str | None = None


class RowRange:
    """Rows ``start`` to ``stop`` of something that is read from a file, without reading them yet."""

    def __init__(self, source, start: int, stop: int):
        self.source, self.start, self.stop = source, start, stop
        self.shape = (stop - start, *source.shape[1:])
        self.dtype = source.dtype

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, key):
        if isinstance(key, slice):
            first, last, _ = key.indices(len(self))
            return self.source[self.start + first : self.start + last]
        return rows_at(self.source, np.asarray(key) + self.start)


def is_lazy(data) -> bool:
    """Whether rows are read only when asked for: HDF5, or anything with rows that isn't itself an array."""
    if isinstance(data, (h5py.Dataset, HDF5Matrix, RowRange)):
        return True
    return all(hasattr(data, name) for name in ("shape", "dtype", "__getitem__")) and not hasattr(
        data, "__array__"
    )


def rows_at(source, indices: np.ndarray):
    """``source[indices]`` of a lazy source."""
    return read_rows(source, indices) if isinstance(source, h5py.Dataset) else source[indices]


def _is_arraylike(data) -> bool:
    return hasattr(data, "shape") or hasattr(data, "__array__") or hasattr(data, "iloc")


def _as_array(data, name: str, kind: str):
    """``data`` as it is if lazy, else as a numeric NumPy array."""
    if is_lazy(data):
        dtype = np.dtype(data.dtype)
    else:
        if hasattr(data, "toarray") and not isinstance(data, np.ndarray):
            raise ValueError(
                f"Error when checking {kind}: {name} is a sparse matrix; pass its `.toarray()`, or a "
                "generator that does so batch by batch."
            )
        try:
            data = data if isinstance(data, np.ndarray) else np.asarray(data)
        except ValueError as error:  # rows of different lengths
            raise ValueError(
                f"Error when checking {kind}: {name} is no rectangular array: {error}"
            ) from error
        dtype = data.dtype
    if dtype.kind not in "biuf":
        hint = " Are its rows of different lengths?" if dtype.kind == "O" else ""
        raise ValueError(f"Error when checking {kind}: {name} holds {dtype}, but numbers are needed.{hint}")
    if len(data.shape) == 0:
        raise ValueError(
            f"Error when checking {kind}: {name} is a single number; its first axis must be samples."
        )
    return data


def _by_name(data: Mapping, names: Sequence[str], kind: str) -> list:
    found = []
    for name in names:
        if name not in data:
            near = difflib.get_close_matches(name, [str(key) for key in data], n=1, cutoff=0.5)
            hint = f" Did you mean it by {near[0]!r}?" if near else ""
            raise ValueError(
                f'No data provided for "{name}" in the {kind} dictionary. Need data for each key in: '
                f"{list(names)}, but got: {[str(key) for key in data]}.{hint}"
            )
        found.append(data[name])
    return found


def _as_list(data, names: Sequence[str], kind: str) -> list:
    """One entry per name, whatever way they were given."""
    if isinstance(data, Mapping):
        return _by_name(data, names, kind)
    if isinstance(data, (list, tuple)):
        arrays = [data] if len(names) == 1 and not (data and _is_arraylike(data[0])) else list(data)
    else:
        arrays = [data]
    if len(arrays) != len(names):
        shapes = [tuple(getattr(array, "shape", np.shape(array))) for array in arrays[:10]]
        raise ValueError(
            f"Error when checking model {kind}: expected {len(names)} array(s), one for each of "
            f"{list(names)}, but got {len(arrays)} of shapes {shapes}."
        )
    return arrays


def standardize(data, specs: Sequence[Spec], kind: str = "input") -> list:
    """The arrays (or lazy sources), one for each spec, checked against its shape; dtypes are left alone.

    Args:
        data: an array; a list of them, or a dictionary by name, where there are several; ``None`` if none.
        specs: what is expected. One-dimensional data becomes a column ``(n, 1)`` where two axes are expected.
        kind: ``"input"`` or ``"target"``, for messages.

    Raises:
        ValueError: too few, too many or unknown arrays; a shape or dtype that doesn't fit.
    """
    if not specs:
        return []
    names = [spec.name for spec in specs]
    if data is None:
        raise ValueError(f"No data provided for {kind}(s) {names}.")
    arrays = _as_list(data, names, kind)
    return [
        _checked(_as_array(array, spec.name, kind), spec, kind)
        for array, spec in zip(arrays, specs, strict=True)
    ]


def _checked(array, spec: Spec, kind: str):
    if len(array.shape) == 1 and (spec.shape is None or len(spec.shape) == 2) and not is_lazy(array):
        array = array.reshape(-1, 1)
    if spec.shape is None:
        return array
    got = tuple(array.shape)
    if len(got) == 1 and len(spec.shape) == 2 and is_lazy(array):
        got = (*got, 1)
    if len(got) != len(spec.shape):
        raise ValueError(
            f"Error when checking {kind}: expected {spec.name} to have {len(spec.shape)} dimensions, "
            f"but got array with shape {got}"
        )
    if any(want is not None and want != have for want, have in zip(spec.shape[1:], got[1:], strict=True)):
        raise ValueError(
            f"Error when checking {kind}: expected {spec.name} to have shape {tuple(spec.shape[1:])} "
            f"but got array with shape {got[1:]}"
        )
    return array


def check_lengths(inputs: Sequence, targets: Sequence, weights: Sequence = ()) -> int:
    """The number of samples.

    Raises:
        ValueError: the arrays don't have the same number, or it is zero.
    """
    counts = []
    for kind, arrays in (("input", inputs), ("target", targets), ("sample_weight", weights)):
        lengths = {len(array) for array in arrays if array is not None}
        if len(lengths) > 1:
            shapes = [tuple(array.shape) for array in arrays if array is not None]
            raise ValueError(
                f"All {kind} arrays should have the same number of samples. Got array shapes: {shapes}"
            )
        counts.append((kind, lengths.pop() if lengths else None))
    (_, samples), *others = counts
    for kind, count in others:
        if count is not None and samples is not None and count != samples:
            raise ValueError(
                "Input arrays should have the same number of samples as target and sample_weight arrays. "
                f"Found {samples} input samples and {count} {kind} samples."
            )
    if not samples:
        raise ValueError("Got no samples: the first axis of the input arrays has length 0.")
    return samples


def _per_output(value, names: Sequence[str], what: str) -> list:
    """One ``class_weight`` or ``sample_weight`` (or None) for each output."""
    if value is None:
        return [None] * len(names)
    if isinstance(value, Mapping):
        unknown = [key for key in value if key not in names]
        if unknown:
            raise ValueError(f"Unknown entries in `{what}`: {unknown}. The outputs are: {list(names)}")
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)) and len(value) == len(names):
        first = value[0]
        if len(names) > 1 or first is None or isinstance(first, Mapping) or np.ndim(first):
            return list(value)
    if len(names) == 1:
        return [value]
    raise ValueError(
        f"The model has {len(names)} outputs, so `{what}` should be a list of as many entries or a "
        f"dictionary with names from {list(names)}. Got: {value!r}"
    )


def _sample_weights(weight, target, name: str, mode: str | None) -> np.ndarray:
    weight = np.asarray(weight)
    if weight.dtype.kind not in "biuf":
        raise ValueError(f"`sample_weight` of {name} holds {weight.dtype}, but numbers are needed.")
    shape = tuple(target.shape)
    if weight.ndim == len(shape) and weight.ndim > 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if mode == "temporal" and weight.ndim != 2:
        raise ValueError(
            f"`sample_weight` of {name} has shape {weight.shape}, but `sample_weight_mode='temporal'` "
            "needs (samples, timesteps)."
        )
    if weight.ndim < 1 or weight.ndim > max(1, len(shape) - 1) or weight.shape[1:] != shape[1 : weight.ndim]:
        raise ValueError(
            f"`sample_weight` of {name} has shape {weight.shape}, which doesn't fit a target of shape "
            f"{shape}: it should be (samples,) or, for one weight per timestep, (samples, timesteps)."
        )
    return weight


def _class_sample_weights(class_weight: Mapping, target, name: str) -> np.ndarray:
    """Each sample's weight by its class."""
    target = np.asarray(target[:] if is_lazy(target) else target)
    if target.ndim > 2:
        raise ValueError(f"`class_weight` isn't supported for targets of 3 or more dimensions, as {name}'s.")
    classes = target.reshape(len(target), -1)
    classes = classes.argmax(axis=1) if classes.shape[1] > 1 else classes[:, 0]
    present, positions = np.unique(classes, return_inverse=True)
    missing = [int(cls) for cls in present if int(cls) not in class_weight]
    if missing:
        raise ValueError(
            f"`class_weight` must contain all classes in the data. The classes {missing} of {name} exist "
            "in the data but not in `class_weight`."
        )
    return np.array([class_weight[int(cls)] for cls in present], dtype=np.float64)[positions.reshape(-1)]


def _is_class_map(class_weight) -> bool:
    return isinstance(class_weight, Mapping) and all(
        isinstance(key, (int, float, np.number)) for key in class_weight
    )


def standardize_weights(
    targets: Sequence,
    specs: Sequence[Spec],
    sample_weight=None,
    class_weight=None,
    modes: Sequence[str | None] | None = None,
) -> list[np.ndarray | None]:
    """For each output the samples' weights, or ``None`` where all weigh the same.

    Args:
        targets: standardized targets.
        sample_weight: array of shape ``(samples,)`` or ``(samples, timesteps)``; with several outputs a list
            or dictionary of these.
        class_weight: ``{class: weight}`` (classes are integer targets or the positions of one-hot ones); with
            several outputs a list or dictionary of these. Given both, the weights are multiplied.
        modes: ``"temporal"`` for outputs that demand weights per timestep.
    """
    names = [spec.name for spec in specs]
    by_sample = _per_output(sample_weight, names, "sample_weight")
    single = len(names) == 1 and _is_class_map(class_weight)
    by_class = [class_weight] if single else _per_output(class_weight, names, "class_weight")
    weights: list[np.ndarray | None] = []
    for target, name, sample, classes, mode in zip(
        targets, names, by_sample, by_class, modes or [None] * len(names), strict=True
    ):
        weight: Any = None if sample is None else _sample_weights(sample, target, name, mode)
        if classes is not None:
            of_class = _class_sample_weights(classes, target, name)
            # A weight per timestep is multiplied by its sample's.
            weight = of_class if weight is None else (weight.T * of_class).T
        weights.append(weight)
    return weights


def split_rows(data, start: int, stop: int):
    """``data[start:stop]`` of an array, of each in a list or dictionary, or of a lazy source (still lazy)."""
    if data is None:
        return None
    if isinstance(data, Mapping):
        return {name: split_rows(value, start, stop) for name, value in data.items()}
    if isinstance(data, (list, tuple)) and data and (data[0] is None or _is_arraylike(data[0])):
        return [split_rows(value, start, stop) for value in data]
    if is_lazy(data):
        return RowRange(data, start, stop)
    return data.iloc[start:stop] if hasattr(data, "iloc") else data[start:stop]


def _count(data) -> int:
    if isinstance(data, Mapping):
        return _count(next(iter(data.values())))
    if isinstance(data, (list, tuple)) and data and _is_arraylike(data[0]):
        return len(data[0])
    if data is None or not hasattr(data, "__len__"):
        raise ValueError(
            f"`validation_split` needs arrays, got {type(data).__name__}; pass `validation_data` instead."
        )
    return len(data)


def split_validation(x, y=None, sample_weight=None, validation_split: float = 0.0):
    """``(x, y, sample_weight)`` for training and the same for validation, whose rows are the last ones.

    Args:
        validation_split: fraction of the rows for validation, in (0, 1). Taken before any shuffling.

    Raises:
        ValueError: the fraction isn't one, or leaves one of the two parts empty.
    """
    if not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must lie between 0 and 1, got {validation_split}.")
    rows = _count(x)
    cut = int(rows * (1 - validation_split))
    if cut == 0 or cut == rows:
        raise ValueError(
            f"`validation_split={validation_split}` of {rows} samples leaves {cut} for training and "
            f"{rows - cut} for validation; both need at least one."
        )
    training = tuple(split_rows(data, 0, cut) for data in (x, y, sample_weight))
    validation = tuple(split_rows(data, cut, rows) for data in (x, y, sample_weight))
    return training, validation
