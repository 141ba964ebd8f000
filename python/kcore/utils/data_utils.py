"""Keras's ``data_utils``: files from the network, and batches made by workers."""

from .enqueuers import GeneratorEnqueuer, OrderedEnqueuer, PyDataset, Sequence, SequenceEnqueuer
from .files import get_file, hash_file, validate_file

__all__ = [
    "GeneratorEnqueuer",
    "OrderedEnqueuer",
    "PyDataset",
    "Sequence",
    "SequenceEnqueuer",
    "get_file",
    "hash_file",
    "validate_file",
]
