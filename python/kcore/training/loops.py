"""The loops over batches and epochs behind ``fit``, ``evaluate`` and ``predict``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Any

import numpy as np

from kcore import callbacks as callbacks_module
from kcore.callbacks import CallbackList
from kcore.training.data_adapter import Batch, Batches, is_batch_source
from kcore.training.standardize import split_validation
from kcore.utils.progbar import Progbar


class _Averages:
    """Means over samples of what is a mean over a batch; streaming metrics keep their last value."""

    def __init__(self, names: Sequence[str], streaming: set[str]):
        self.names = names
        self.is_mean = [name not in streaming for name in names]
        self.totals = [0.0] * len(names)
        self.samples = 0

    def add(self, values: Sequence[float], size: int) -> None:
        self.samples += size
        totals = self.totals
        for i, value in enumerate(values):
            totals[i] = totals[i] + value * size if self.is_mean[i] else value

    def add_rows(self, rows: np.ndarray, size: int) -> list[float]:
        """``add`` each row of ``rows``; returns the means or last values of these alone."""
        count = len(rows)
        self.samples += size * count
        values = []
        for i, column in enumerate(rows.T.astype("float64")):
            if not self.is_mean[i]:
                self.totals[i] = float(column[-1])
                values.append(self.totals[i])
                continue
            # One after another, as ``add`` does: np.sum would add in another order.
            before = self.totals[i]
            sums = np.cumsum(np.concatenate(([before], column * size)))
            self.totals[i] = float(sums[-1])
            values.append((self.totals[i] - before) / (size * count))
        return values

    def results(self) -> list[float]:
        count = max(self.samples, 1)
        return [t / count if mean else t for t, mean in zip(self.totals, self.is_mean, strict=True)]


def _averages(model: Any) -> _Averages:
    return _Averages(model.metrics_names, {m.name for m in model.metrics})


def _verbosity(verbose: Any) -> int:
    return 1 if verbose in ("auto", True) else int(verbose)


def fit(
    model: Any, x: Any, y: Any, *, batch_size: int | None, epochs: int, verbose: Any, callbacks: Any,
    validation_split: float, validation_data: Any, shuffle: Any, class_weight: Any, sample_weight: Any,
    initial_epoch: int, steps_per_epoch: int | None, validation_steps: int | None, validation_freq: Any,
    max_queue_size: int, workers: int, use_multiprocessing: bool, validation_batch_size: int | None,
) -> Any:  # fmt: skip
    """See ``Model.fit``."""
    model._require_compiled()
    reading: dict[str, Any] = {
        "max_queue_size": max_queue_size, "workers": workers, "use_multiprocessing": use_multiprocessing
    }  # fmt: skip
    x, y, sample_weight, validation = _validation_parts(
        x, y, sample_weight, validation_split, validation_data
    )
    verbose = _verbosity(verbose)
    train = model._adapted(
        x,
        y,
        sample_weight,
        batch_size=batch_size,
        steps=steps_per_epoch,
        shuffle=shuffle,
        class_weight=class_weight,
        **reading,
    )
    valid = None
    if validation is not None:
        vx, vy, vw = validation
        valid = model._adapted(
            vx, vy, vw, batch_size=None if is_batch_source(vx) else validation_batch_size or batch_size,
            steps=validation_steps, **reading,
        )  # fmt: skip
    names = list(model.metrics_names)
    handlers = _configure(model, callbacks, verbose, epochs, train, names, valid is not None)
    with train, valid or nullcontext():
        _run_epochs(model, train, valid, handlers, initial_epoch, epochs, validation_freq)
    return model.history


def _validation_parts(x: Any, y: Any, sample_weight: Any, split: float, data: Any) -> tuple:
    """Training data, and validation data as ``(x, y, sample_weight)`` or ``None``."""
    if data is not None:
        if is_batch_source(data):
            return x, y, sample_weight, (data, None, None)
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise ValueError(
                "When passing validation_data, it must contain 2 (x_val, y_val) or 3 (x_val, y_val, "
                f"val_sample_weights) items, or be a generator; it is {type(data).__name__}"
            )
        return x, y, sample_weight, (*data, None)[:3]
    if split:
        if is_batch_source(x):
            raise ValueError(
                "`validation_split` is only supported for arrays; pass `validation_data` with a generator"
            )
        (x, y, sample_weight), validation = split_validation(x, y, sample_weight, split)
        return x, y, sample_weight, validation
    return x, y, sample_weight, None


def _configure(
    model: Any, callbacks: Any, verbose: int, epochs: int, train: Batches, names: list[str], validates: bool
) -> CallbackList:
    given = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    history = callbacks_module.History()
    model.history = history
    by_samples = train.num_samples is not None
    handlers: list[Any] = []
    if verbose:
        mode = "samples" if by_samples else "steps"
        streaming = [m.name for m in model.metrics]
        handlers.append(callbacks_module.ProgbarLogger(count_mode=mode, stateful_metrics=streaming))
    handlers = [*handlers, *given, history]
    shown = names + [f"val_{n}" for n in names] if validates else names
    result = CallbackList(handlers)
    result.set_model(model)
    result.set_params(
        {
            "batch_size": train.batch_size,
            "epochs": epochs,
            "steps": train.steps,
            "samples": train.num_samples,
            "verbose": verbose,
            "do_validation": validates,
            "metrics": list(shown),
        }
    )
    for handler in handlers:
        handler.validation_data = None
    return result


def _run_epochs(
    model: Any,
    train: Batches,
    valid: Batches | None,
    handlers: CallbackList,
    first: int,
    epochs: int,
    freq: Any,
) -> None:
    model.stop_training = False
    model._initial_epoch = first
    handlers.on_train_begin()
    first = model._initial_epoch  # BackupAndRestore moves it
    epoch_logs: dict[str, Any] = {}
    for epoch in range(first, epochs):
        model.reset_metrics()
        handlers.on_epoch_begin(epoch)
        epoch_logs = _train_epoch(model, train, handlers, epoch)
        if valid is not None and _validates_after(epoch, freq):
            results = _evaluate_batches(model, valid, handlers)
            epoch_logs.update({f"val_{n}": v for n, v in zip(model.metrics_names, results, strict=True)})
        handlers.on_epoch_end(epoch, epoch_logs)
        if model.stop_training or train.exhausted:
            break
    handlers.on_train_end(epoch_logs)


def _validates_after(epoch: int, freq: Any) -> bool:
    if isinstance(freq, int):
        if freq < 1:
            raise ValueError(f"`validation_freq` must be at least 1, got {freq}")
        return (epoch + 1) % freq == 0
    return epoch + 1 in freq


def _train_epoch(model: Any, train: Batches, handlers: CallbackList, epoch: int) -> dict[str, float]:
    averages = _averages(model)
    rows = None
    if not (handlers.defines("on_train_batch_begin") or handlers.hears_each("on_train_batch_end")):
        rows = train.rows(epoch)
    with closing(train.epoch(epoch) if rows is None else model.run_rows(rows, True)) as parts:
        if rows is None:
            _train_batches(model, parts, handlers, averages)
        else:
            _train_rows(model, parts, handlers, averages)
    return dict(zip(averages.names, averages.results(), strict=True))


def _train_batches(model: Any, batches: Iterator, handlers: CallbackList, averages: _Averages) -> None:
    names = averages.names
    run_step = model.run_step
    begins = handlers.defines("on_train_batch_begin")
    ends = handlers.defines("on_train_batch_end")
    for index, batch in enumerate(batches):
        size = len(batch[0][0])
        if begins:
            handlers.on_train_batch_begin(index, {"batch": index, "size": size})
        values = run_step(batch, True)
        averages.add(values, size)
        if ends:
            logs = {"batch": index, "size": size}
            logs.update(zip(names, values, strict=True))
            handlers.on_train_batch_end(index, logs)
        if model.stop_training:
            break


def _train_rows(model: Any, runs: Iterator, handlers: CallbackList, averages: _Averages) -> None:
    """Nobody has to hear of each batch: some tens of milliseconds of them are one native call."""
    ends = handlers.defines("on_train_batch_end")
    last = -1
    for scalars, size in runs:
        values = averages.add_rows(scalars, size)
        last += len(scalars)
        if ends:
            logs = {"batch": last, "size": size, "num_steps": len(scalars)}
            logs.update(zip(averages.names, values, strict=True))
            handlers.on_train_batch_end(last, logs)
        if model.stop_training:
            break


def _evaluate_batches(
    model: Any, batches: Batches, handlers: CallbackList, bar: Progbar | None = None
) -> list[float]:
    model.reset_metrics()
    averages = _averages(model)
    per_batch = handlers.defines("on_test_batch_begin") or handlers.hears_each("on_test_batch_end")
    rows = None if per_batch else batches.rows()
    handlers.on_test_begin()
    with closing(batches.epoch() if rows is None else model.run_rows(rows, False)) as parts:
        for step, part in enumerate(parts):
            if rows is None:
                averages.add(_evaluate_batch(model, step, part, handlers, averages.names), len(part[0][0]))
            else:
                averages.add_rows(*part)
            if bar is not None:
                done = averages.samples if batches.num_samples else step + 1
                bar.update(done, list(zip(averages.names, averages.results(), strict=True)))
    handlers.on_test_end()
    return averages.results()


def _evaluate_batch(
    model: Any, index: int, batch: Batch, handlers: CallbackList, names: Sequence[str]
) -> list[float]:
    size = len(batch[0][0])
    per_batch = handlers.defines("on_test_batch_begin") or handlers.defines("on_test_batch_end")
    if per_batch:
        handlers.on_test_batch_begin(index, {"batch": index, "size": size})
    values = model.run_step(batch, False)
    if per_batch:
        logs = {"batch": index, "size": size}
        logs.update(zip(names, values, strict=True))
        handlers.on_test_batch_end(index, logs)
    return values


def evaluate(
    model: Any, x: Any, y: Any, *, batch_size: int | None, verbose: Any, sample_weight: Any, steps: int | None,
    callbacks: Any, max_queue_size: int, workers: int, use_multiprocessing: bool,
) -> list[float]:  # fmt: skip
    """See ``Model.evaluate``."""
    model._require_compiled()
    batches = model._adapted(
        x, y, sample_weight, batch_size=batch_size, steps=steps, max_queue_size=max_queue_size, workers=workers,
        use_multiprocessing=use_multiprocessing,
    )  # fmt: skip
    handlers = _quiet(model, callbacks, batches, list(model.metrics_names))
    bar = _bar(batches, verbose, stateful=list(model.metrics_names))
    with batches:
        return _evaluate_batches(model, batches, handlers, bar)


def predict(
    model: Any, x: Any, *, batch_size: int | None, verbose: Any, steps: int | None, callbacks: Any,
    max_queue_size: int, workers: int, use_multiprocessing: bool,
) -> Any:  # fmt: skip
    """See ``Model.predict``."""
    batches = model._adapted(
        x, None, batch_size=batch_size, steps=steps, with_targets=False, max_queue_size=max_queue_size, workers=workers,
        use_multiprocessing=use_multiprocessing,
    )  # fmt: skip
    handlers = _quiet(model, callbacks, batches, [])
    bar = _bar(batches, verbose)
    function = model._predictor()
    collected: list[list[np.ndarray]] = []
    per_batch = handlers.defines("on_predict_batch_begin") or handlers.defines("on_predict_batch_end")
    handlers.on_predict_begin()
    done = 0
    with batches, closing(batches.epoch()) as epoch:
        for index, (inputs, _, _) in enumerate(epoch):
            if per_batch:
                handlers.on_predict_batch_begin(index, {"batch": index, "size": len(inputs[0])})
            outputs = function(inputs)
            collected.append(outputs)
            if per_batch:
                logs = {"batch": index, "size": len(inputs[0]), "outputs": outputs}
                handlers.on_predict_batch_end(index, logs)
            done += len(inputs[0])
            if bar is not None:
                bar.update(done if batches.num_samples else index + 1)
    handlers.on_predict_end()
    results = [
        np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*collected, strict=True)
    ]
    return results[0] if len(results) == 1 else results


def _quiet(model: Any, callbacks: Any, batches: Batches, names: list[str]) -> CallbackList:
    """The user's callbacks alone."""
    handlers = CallbackList(list(callbacks) if callbacks else [])
    handlers.set_model(model)
    handlers.set_params(
        {
            "batch_size": batches.batch_size,
            "steps": batches.steps,
            "samples": batches.num_samples,
            "verbose": 0,
            "metrics": names,
        }
    )
    return handlers


def _bar(batches: Batches, verbose: Any, stateful: Sequence[str] = ()) -> Progbar | None:
    if _verbosity(verbose) != 1:
        return None
    return Progbar(target=batches.num_samples or batches.steps, stateful_metrics=stateful)
