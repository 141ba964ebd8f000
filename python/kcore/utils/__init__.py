"""What surrounds a model: progress, configs, files, workers that make batches, HDF5, summaries."""

import importlib

from kcore.random_seed import set_random_seed

from . import data_utils, generic_utils, io_utils, layer_utils, np_utils
from .data_utils import (
    GeneratorEnqueuer,
    OrderedEnqueuer,
    PyDataset,
    Sequence,
    SequenceEnqueuer,
    get_file,
    validate_file,
)
from .generic_utils import (
    CustomObjectScope,
    Progbar,
    custom_object_scope,
    deserialize_keras_object,
    enable_unsafe_deserialization,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from .io_utils import H5Dict, HDF5Matrix
from .layer_utils import print_summary
from .np_utils import normalize, to_categorical

__all__ = [
    "CustomObjectScope",
    "GeneratorEnqueuer",
    "H5Dict",
    "HDF5Matrix",
    "OrderedEnqueuer",
    "Progbar",
    "PyDataset",
    "Sequence",
    "SequenceEnqueuer",
    "custom_object_scope",
    "data_utils",
    "deserialize_keras_object",
    "enable_unsafe_deserialization",
    "generic_utils",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "io_utils",
    "layer_utils",
    "normalize",
    "np_utils",
    "print_summary",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
    "validate_file",
]

# Names that Keras 3 has here, of rooms that are imported when they are first used.
_LATER = {"pad_sequences": "kcore.preprocessing.sequence", "set_random_seed": "kcore.random_seed"}


def __getattr__(name: str):
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
