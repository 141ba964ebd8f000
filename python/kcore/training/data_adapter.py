"""Whatever ``fit``, ``evaluate`` and ``predict`` are given, as an iterator of batches.

A batch is ``(inputs, targets, weights)``: three lists of C-contiguous arrays of the dtypes that the specs ask
for; ``weights`` holds ``None`` where an output's samples all weigh the same. Its arrays may be reused for the
batch after the next one, so who keeps them must copy them.
"""

from __future__ import annotations

import itertools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core import Feed, gather_rows
from ..utils.enqueuers import GeneratorEnqueuer, OrderedEnqueuer
from ..utils.enqueuers import Sequence as BatchSequence
from .standardize import Spec, check_lengths, is_lazy, rows_at, standardize, standardize_weights

Batch = tuple[list[np.ndarray], list[np.ndarray], list["np.ndarray | None"]]

# Data whose converted copy is no larger than this, or than the data itself, is converted at once.
_CONVERT_AT_ONCE_BYTES = 64 << 20
# A thread that reads ahead may be at work on one batch while another waits and a third is in use.
_SLOTS_AHEAD = 3
_STOP_SECONDS = 1.0
# Handing a batch from thread to thread takes some tens of microseconds; less than converting this many bytes.
_AHEAD_BYTES = 1 << 20


class Rows(NamedTuple):
    """An epoch of arrays in memory that need no conversion.

    Attributes:
        inputs, targets, weights: arrays of one length; ``None`` where an output's samples all weigh the same.
        order: which row comes when; ``None`` if they come as they lie.
        total: rows in the epoch.
        batch_size: of them in a batch; the last one has the rest.
    """

    inputs: list[np.ndarray]
    targets: list[np.ndarray]
    weights: list[np.ndarray | None]
    order: np.ndarray | None
    total: int
    batch_size: int

    @property
    def arrays(self) -> list[np.ndarray]:
        return [*self.inputs, *self.targets, *(w for w in self.weights if w is not None)]

    def feeds(self) -> Iterator[tuple[Feed, int]]:
        """What gives the whole batches, then the rest; each with the rows in a batch."""
        whole = self.total - self.total % self.batch_size
        for first, end, size in ((0, whole, self.batch_size), (whole, self.total, self.total - whole)):
            if first < end:
                arrays, order = self.arrays, self.order
                if order is None:
                    arrays = [a[first:end] for a in arrays]
                else:
                    order = order[first:end]
                feed = Feed(arrays, order, size, (end - first) // size)
                try:
                    yield feed, size
                finally:
                    feed.close()

    def batches(self) -> Generator[Batch, None, None]:
        inputs, targets = len(self.inputs), len(self.targets)
        for feed, _ in self.feeds():
            while feed.remaining:
                arrays = feed.take()
                rest = iter(arrays[inputs + targets :])
                weights = [None if w is None else next(rest) for w in self.weights]
                yield arrays[:inputs], arrays[inputs : inputs + targets], weights


class Batches(ABC):
    """One epoch after another of batches.

    Attributes:
        steps: batches in an epoch, ``None`` if unknown until its end.
        batch_size: samples in a batch (the last one may have fewer), ``None`` if unknown.
        num_samples: in an epoch, ``None`` if unknown.
        exhausted: a generator ended before its epoch did.
    """

    steps: int | None = None
    batch_size: int | None = None
    num_samples: int | None = None
    exhausted = False

    @abstractmethod
    def epoch(self, index: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch; its number decides the order where they are shuffled."""

    def rows(self, index: int = 0) -> Rows | None:
        """The same as arrays and an order, where native code can make the batches from these."""
        return None

    @abstractmethod
    def peek(self) -> Batch:
        """The first batch, without taking it away."""

    def close(self) -> None:  # noqa: B027
        """Ends the workers, if there are any."""

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _ArrayColumn:
    """Rows of an array in memory, copied by index into one of a few buffers, or viewed where they lie."""

    def __init__(self, array: np.ndarray, dtype, batch_size: int):
        target = np.dtype(dtype) if dtype is not None else array.dtype.newbyteorder("=")
        converted_bytes = array.size * target.itemsize
        on_disk = isinstance(array, np.memmap)
        if (
            array.dtype != target
            and not on_disk
            and converted_bytes <= max(array.nbytes, _CONVERT_AT_ONCE_BYTES)
        ):
            array = array.astype(target, order="C")
        self.array = np.require(array, requirements=["C", "A"])
        self.convert = array.dtype != target
        shape = (batch_size, *array.shape[1:])
        self.dtype, self.shape = target, shape
        self.buffers: list[np.ndarray | None] = [None] * _SLOTS_AHEAD
        self.raw: np.ndarray | None = None

    @property
    def batch_bytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def _buffer(self, slot: int) -> np.ndarray:
        buffer = self.buffers[slot]
        if buffer is None:
            buffer = self.buffers[slot] = np.empty(self.shape, self.dtype)
        return buffer

    def rows(self, start: int, stop: int, slot: int) -> np.ndarray:
        if not self.convert:
            return self.array[start:stop]
        out = self._buffer(slot)[: stop - start]
        np.copyto(out, self.array[start:stop], casting="unsafe")
        return out

    def gather(self, indices: np.ndarray, slot: int) -> np.ndarray:
        out = self._buffer(slot)[: len(indices)]
        if not self.convert:
            gather_rows(self.array, indices, out)
            return out
        if self.raw is None:
            self.raw = np.empty(self.shape, self.array.dtype)
        raw = self.raw[: len(indices)]
        gather_rows(self.array, indices, raw)
        np.copyto(out, raw, casting="unsafe")
        return out


class _LazyColumn:
    """Rows read from a file when they are needed."""

    def __init__(self, source, dtype, column: bool):
        self.source, self.dtype, self.column = source, dtype, column

    def _finish(self, rows) -> np.ndarray:
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        return rows.reshape(-1, 1) if self.column else rows

    def rows(self, start: int, stop: int, slot: int) -> np.ndarray:
        return self._finish(self.source[start:stop])

    def gather(self, indices: np.ndarray, slot: int) -> np.ndarray:
        return self._finish(rows_at(self.source, indices))


class ArrayBatches(Batches):
    """Batches of arrays in memory or in HDF5 files.

    Args:
        inputs, targets, weights: standardized, of equal lengths.
        input_specs, target_specs: their dtypes are converted to.
        batch_size: samples in a batch.
        shuffle: ``True`` for a new order of samples in every epoch; ``"batch"`` for a new order of batches of
            neighbouring samples, which files are read faster in.
        steps: end an epoch after so many batches.
        seed: of the orders: seed and epoch's number determine an order.
        weight_dtype: of the weights.
    """

    def __init__(
        self,
        inputs: Sequence,
        targets: Sequence,
        weights: Sequence,
        input_specs: Sequence[Spec],
        target_specs: Sequence[Spec],
        batch_size: int,
        shuffle: bool | str = False,
        steps: int | None = None,
        seed: int | None = None,
        weight_dtype: str = "float32",
    ):
        self.num_samples: int = check_lengths(inputs, targets, weights)
        self.batch_size: int = batch_size
        available = -(-self.num_samples // batch_size)
        if steps is not None and steps > available:
            warnings.warn(
                f"{steps} steps of {batch_size} samples were asked for, but {self.num_samples} samples "
                f"give only {available}.",
                stacklevel=3,
            )
        self.steps: int = min(steps or available, available)
        self.shuffle = shuffle
        self.seed = seed

        def column(data, dtype, spec: Spec | None = None):
            if is_lazy(data):
                wanted = spec.shape if spec is not None else None
                as_column = len(data.shape) == 1 and (wanted is None or len(wanted) == 2)
                return _LazyColumn(data, dtype, as_column)
            return _ArrayColumn(data, dtype, min(batch_size, len(data)))

        self._inputs = [
            column(data, spec.dtype, spec) for data, spec in zip(inputs, input_specs, strict=True)
        ]
        self._targets = [
            column(data, spec.dtype, spec) for data, spec in zip(targets, target_specs, strict=True)
        ]
        self._weights = [None if data is None else column(data, weight_dtype) for data in weights]
        columns = [*self._inputs, *self._targets, *(c for c in self._weights if c is not None)]
        self._plain = all(isinstance(c, _ArrayColumn) and not c.convert for c in columns)
        converted = sum(c.batch_bytes for c in columns if isinstance(c, _ArrayColumn))
        reads_files = any(isinstance(c, _LazyColumn) for c in columns)
        self._reads_ahead = reads_files or converted >= _AHEAD_BYTES

    def epoch(self, index: int = 0) -> Generator[Batch, None, None]:
        rows = self.rows(index)
        if rows is not None:
            return rows.batches()
        return _ahead(self._epoch(index), 1) if self._reads_ahead else self._epoch(index)

    def rows(self, index: int = 0) -> Rows | None:
        if self.shuffle == "batch" or not self._plain:
            return None
        return Rows(
            [c.array for c in self._inputs],
            [c.array for c in self._targets],
            [None if c is None else c.array for c in self._weights],
            self._random(index).permutation(self.num_samples) if self.shuffle else None,
            min(self.num_samples, self.steps * self.batch_size),
            self.batch_size,
        )

    def peek(self) -> Batch:
        return self._batch(0, min(self.batch_size, self.num_samples), None, 0)

    def _batch(self, start: int, stop: int, order: np.ndarray | None, slot: int) -> Batch:
        if order is None:
            return (
                [column.rows(start, stop, slot) for column in self._inputs],
                [column.rows(start, stop, slot) for column in self._targets],
                [None if column is None else column.rows(start, stop, slot) for column in self._weights],
            )
        rows = order[start:stop]
        return (
            [column.gather(rows, slot) for column in self._inputs],
            [column.gather(rows, slot) for column in self._targets],
            [None if column is None else column.gather(rows, slot) for column in self._weights],
        )

    def _random(self, index: int) -> np.random.Generator:
        return np.random.default_rng(None if self.seed is None else [self.seed, index])

    def _epoch(self, index: int) -> Generator[Batch, None, None]:
        count, size, order = self.num_samples, self.batch_size, None
        starts: Any = range(0, count, size)
        if self.shuffle == "batch":
            starts = (self._random(index).permutation(len(starts)) * size).tolist()
        elif self.shuffle:
            order = self._random(index).permutation(count)
        for step, start in enumerate(starts[: self.steps]):
            yield self._batch(start, min(start + size, count), order, step % _SLOTS_AHEAD)


def _ahead(items: Iterator, count: int, workers: int = 1) -> Generator:
    """The same items, made up to ``count`` ahead by a thread."""
    enqueuer = GeneratorEnqueuer(items)
    enqueuer.start(workers=workers, max_queue_size=count)
    try:
        yield from enqueuer.get()
    finally:
        enqueuer.stop(timeout=_STOP_SECONDS)


class _ItemBatches(Batches):
    """Batches that come whole, each an ``x``, ``(x, y)`` or ``(x, y, sample_weight)``."""

    def __init__(self, inputs, targets, class_weight, modes, weight_dtype: str, source: str):
        self.inputs: Sequence[Spec] | None = inputs
        self.targets: Sequence[Spec] | None = targets
        self.class_weight = class_weight
        self.modes = modes
        self.weight_dtype = weight_dtype
        self._source = source

    def expect(self, inputs: Sequence[Spec], targets: Sequence[Spec], modes=None) -> None:
        """Says what the model expects, if that wasn't known before the first batch was seen."""
        self.inputs, self.targets, self.modes = inputs, targets, modes

    def _unpack(self, item) -> tuple:
        expects_targets = self.targets is None or bool(self.targets)
        if isinstance(item, tuple) or (expects_targets and isinstance(item, list) and len(item) in (2, 3)):
            if 1 <= len(item) <= 3:
                return (*item, None, None)[:3]
        elif not expects_targets or self.targets is None:
            return item, None, None
        length = f" of length {len(item)}" if isinstance(item, (tuple, list)) else ""
        raise ValueError(
            f"Output of {self._source} should be a tuple `(x, y, sample_weight)` or `(x, y)`. "
            f"Found: {type(item).__name__}{length}"
        )

    def _batch(self, item) -> Batch:
        x, y, sample_weight = self._unpack(item)
        input_specs = self.inputs if self.inputs is not None else _unknown_specs(x, "input")
        target_specs = self.targets if self.targets is not None else _unknown_specs(y, "target")
        inputs = standardize(x, input_specs, "input")
        targets = standardize(y, target_specs, "target")
        # Until the outputs' names are known, what goes by them can't be told.
        class_weight = self.class_weight if self.targets is not None else None
        weights = standardize_weights(targets, target_specs, sample_weight, class_weight, self.modes)
        check_lengths(inputs, targets, weights)
        return (
            [_contiguous(data, spec.dtype) for data, spec in zip(inputs, input_specs, strict=True)],
            [_contiguous(data, spec.dtype) for data, spec in zip(targets, target_specs, strict=True)],
            [None if data is None else _contiguous(data, self.weight_dtype) for data in weights],
        )


def _contiguous(data, dtype) -> np.ndarray:
    rows = np.ascontiguousarray(data[:] if is_lazy(data) else data, dtype=dtype)
    return rows if rows.flags.aligned and rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))


def _unknown_specs(data, kind: str) -> list[Spec]:
    """Specs for a model that doesn't know its inputs yet."""
    if data is None:
        return []
    if isinstance(data, dict):
        return [Spec(str(name)) for name in data]
    count = len(data) if isinstance(data, (list, tuple)) and len(data) and np.ndim(data[0]) else 1
    return [Spec(f"{kind}_{number + 1}") for number in range(count)]


class SequenceBatches(_ItemBatches):
    """Batches of a ``Sequence`` (Keras 3: ``PyDataset``), loaded ahead by workers.

    Args:
        sequence: has ``__getitem__`` and ``__len__``; its ``workers``, ``use_multiprocessing`` and
            ``max_queue_size`` count before the arguments of these names.
        shuffle: a new order of the batches in every pass.
        steps: batches in an epoch; by default all. An epoch goes on where the one before it stopped.
        workers: 0 loads batches in the thread that trains.
    """

    def __init__(
        self, sequence, *, shuffle=False, steps=None, seed=None, workers=1, use_multiprocessing=False,
        max_queue_size=10, **standardization,
    ):  # fmt: skip
        super().__init__(source=type(sequence).__name__, **standardization)
        self.sequence = sequence

        def option(name, default):
            own = getattr(sequence, name, None)
            return default if own is None else own

        self._workers = option("workers", workers)
        self._ahead = option("max_queue_size", max_queue_size)
        self._given_steps = steps
        self._enqueuer = OrderedEnqueuer(
            sequence,
            option("use_multiprocessing", use_multiprocessing) and self._workers > 0,
            bool(shuffle),
            seed,
        )
        self._items: Iterator | None = None

    @property
    def steps(self) -> int:  # type: ignore[override]
        return self._given_steps or len(self.sequence)

    def epoch(self, index: int = 0) -> Generator[Batch, None, None]:
        if self._items is None:
            # Without workers one batch is made at a time, when it is asked for.
            self._enqueuer.start(max(1, self._workers), self._ahead if self._workers else 1)
            self._items = self._enqueuer.get()
        for item in itertools.islice(self._items, self.steps):
            yield self._batch(item)
        self._enqueuer.join_end_of_epoch()

    def peek(self) -> Batch:
        return self._batch(self.sequence[0])

    def close(self) -> None:
        self._enqueuer.stop(timeout=_STOP_SECONDS)
        self._items = None


class IterableBatches(_ItemBatches):
    """Batches of a generator, or of anything that can be iterated over anew in every epoch.

    Args:
        source: the generator or iterable.
        steps: batches in an epoch; needed for a generator that is to last several epochs. No more than these
            are taken from it.
        workers: 0 runs it in the thread that trains.
        use_multiprocessing: run a copy of the generator in each of ``workers`` processes.
    """

    def __init__(
        self, source: Iterable, *, steps=None, workers=1, use_multiprocessing=False, max_queue_size=10,
        **standardization,
    ):  # fmt: skip
        super().__init__(source="generator", **standardization)
        self.steps = steps
        self._iterable = source
        self._is_iterator = hasattr(source, "__next__")
        self._iterator: Iterator | None = None
        self._workers, self._ahead = workers, max_queue_size
        self._processes: GeneratorEnqueuer | None = None
        if use_multiprocessing and workers > 0:
            self._processes = GeneratorEnqueuer(iter(source), use_multiprocessing=True)
        self._epochs_done = 0

    def _current(self) -> Iterator:
        if self._iterator is None:
            if self._processes is not None:
                self._processes.start(self._workers, self._ahead)
                self._iterator = self._processes.get()
            else:
                self._iterator = iter(self._iterable)
        return self._iterator

    def epoch(self, index: int = 0) -> Generator[Batch, None, None]:
        if self.steps is None and not self._is_iterator and self._epochs_done:
            self._iterator = None  # a new pass
        items: Iterator = itertools.islice(self._current(), self.steps)
        if self._workers > 0 and self._processes is None:
            items = _ahead(items, self._ahead)
        done = 0
        for item in items:
            done += 1
            yield self._batch(item)
        if self.steps is not None and done < self.steps:
            self.exhausted = True
            warnings.warn(
                f"The generator ran out of data after {done} of this epoch's {self.steps} batches. "
                "Make it give at least `steps_per_epoch * epochs` batches (`while True:`).",
                stacklevel=2,
            )
        elif done == 0:
            raise ValueError(
                "The generator gave no batch. One that is to last several epochs needs `steps_per_epoch`."
            )
        self._epochs_done += 1

    def peek(self) -> Batch:
        items = self._current()
        try:
            first = next(items)
        except StopIteration:
            raise ValueError("The generator gave no batch.") from None
        self._iterator = itertools.chain([first], items)
        return self._batch(first)

    def close(self) -> None:
        if self._processes is not None:
            self._processes.stop(timeout=_STOP_SECONDS)


def _is_sequence(x) -> bool:
    if isinstance(x, BatchSequence):
        return True
    return all(hasattr(x, name) for name in ("__getitem__", "__len__", "on_epoch_end")) and not hasattr(
        x, "shape"
    )


def _is_iterable(x) -> bool:
    if isinstance(x, (list, tuple, dict, str)) or hasattr(x, "shape") or hasattr(x, "__array__"):
        return False
    if _is_sequence(x):
        return False
    return hasattr(x, "__next__") or (hasattr(x, "__iter__") and not hasattr(x, "iloc"))


def is_batch_source(x) -> bool:
    """Whether ``x`` gives whole batches (a Sequence, generator or iterable) rather than samples."""
    return _is_sequence(x) or _is_iterable(x)


def adapt(
    x,
    y=None,
    sample_weight=None,
    *,
    inputs: Sequence[Spec] | None = None,
    targets: Sequence[Spec] | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool | str = False,
    seed: int | None = None,
    class_weight=None,
    sample_weight_modes: Sequence[str | None] | None = None,
    weight_dtype: str = "float32",
    workers: int = 1,
    use_multiprocessing: bool = False,
    max_queue_size: int = 10,
) -> Batches:
    """The batches of what a user passed.

    Args:
        x: an array, list or dictionary of arrays, HDF5 dataset or ``HDF5Matrix``; or a ``Sequence``,
            generator or iterable of batches, which then bring ``y`` and ``sample_weight`` with them.
        y, sample_weight: as ``x``.
        inputs, targets: what the model expects. ``targets=[]`` where none are used. ``None``: not known yet;
            everything is passed on unchecked (``peek()`` shows what it looks like).
        batch_size: default 32; if only ``steps`` is given, such that as many batches cover all samples.
        steps: batches in an epoch.
        shuffle: see :class:`ArrayBatches` and :class:`SequenceBatches`.
        seed: of the shuffling. By default it is drawn from ``np.random``, which ``np.random.seed`` controls.
        class_weight, sample_weight_modes: see :func:`~kcore.training.standardize.standardize_weights`.
        weight_dtype: of the weights.
        workers, use_multiprocessing, max_queue_size: who makes batches, and how many ahead.

    Raises:
        ValueError: something doesn't fit; the message names it.
    """
    if batch_size is not None and (not isinstance(batch_size, (int, np.integer)) or batch_size < 1):
        raise ValueError(f"`batch_size` must be a positive integer, got {batch_size!r}.")
    if steps is not None and (not isinstance(steps, (int, np.integer)) or steps < 1):
        raise ValueError(f"The number of steps must be a positive integer, got {steps!r}.")
    if isinstance(shuffle, str) and shuffle != "batch":
        raise ValueError(f"`shuffle` must be True, False or 'batch', got {shuffle!r}.")
    if shuffle and seed is None and not _is_iterable(x):
        seed = int(np.random.randint(0, 2**31 - 1))
    if is_batch_source(x):
        if y is not None:
            raise ValueError(f"`y` must come with the batches of a {type(x).__name__}, not as an argument.")
        if sample_weight is not None:
            raise ValueError(
                f"`sample_weight` must come with the batches of a {type(x).__name__}, not as an argument."
            )
        if batch_size is not None and not _is_sequence(x):
            raise ValueError(
                "`batch_size` isn't for generators: they decide themselves how large a batch is."
            )
        options: dict[str, Any] = {
            "inputs": inputs,
            "targets": targets,
            "class_weight": class_weight,
            "modes": sample_weight_modes,
            "weight_dtype": weight_dtype,
            "steps": steps,
            "workers": workers,
            "use_multiprocessing": use_multiprocessing,
            "max_queue_size": max_queue_size,
        }
        if _is_sequence(x):
            return SequenceBatches(x, shuffle=shuffle, seed=seed, **options)
        return IterableBatches(x, **options)

    input_specs = inputs if inputs is not None else _unknown_specs(x, "input")
    target_specs = targets if targets is not None else _unknown_specs(y, "target")
    input_arrays = standardize(x, input_specs, "input")
    target_arrays = standardize(y, target_specs, "target")
    weights = standardize_weights(
        target_arrays, target_specs, sample_weight, class_weight, sample_weight_modes
    )
    count = check_lengths(input_arrays, target_arrays, weights)
    if batch_size is None:
        batch_size = 32 if steps is None else -(-count // steps)
    _check_fixed_batch(input_specs, batch_size, count)
    return ArrayBatches(
        input_arrays, target_arrays, weights, input_specs, target_specs,
        int(batch_size), shuffle, steps, seed, weight_dtype,
    )  # fmt: skip


def _check_fixed_batch(specs: Sequence[Spec], batch_size: int, count: int) -> None:
    """A model with a fixed batch size (a stateful one) can't take a last, shorter batch."""
    for spec in specs:
        fixed = spec.shape[0] if spec.shape else None
        if fixed is not None and (batch_size != fixed or count % fixed):
            raise ValueError(
                f"{spec.name} has a fixed batch size of {fixed}: `batch_size` must be {fixed} "
                f"(got {batch_size}) and the number of samples (got {count}) a multiple of it."
            )
