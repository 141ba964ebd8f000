"""``Trainer``: compile, fit, evaluate and predict; what a ``Model`` adds to a ``Network``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kcore import metrics as metrics_module
from kcore import optimizers
from kcore.graph import Function, Tensor, dtypes, rng
from kcore.layers.input_layer import Input
from kcore.layers.node import flatten, unpack
from kcore.models.network import Network
from kcore.training import loops
from kcore.training.compile import Endpoint, resolve
from kcore.training.data_adapter import IterableBatches, Rows, SequenceBatches, adapt
from kcore.training.standardize import Spec, check_lengths, standardize, standardize_weights
from kcore.training.steps import Step, build_predict, build_step, metric_names


class Trainer(Network):
    """A network that can be trained."""

    _UNTRACKED = Network._UNTRACKED | {"_collected_trainable_weights", "_endpoints", "_compiled_with"}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.optimizer: Any = None
        self.stop_training = False
        self.history: Any = None
        self._compiled_with: dict[str, Any] | None = None
        self._endpoints: list[Endpoint] = []
        self._steps: dict[tuple, Step] = {}
        self._predict_function: Function | None = None
        self._collected_trainable_weights: list = []
        self._seed: int | None = None
        self._metric_cache: dict[str, metrics_module.Metric] = {}

    def _init_graph(self, inputs: Any, outputs: Any) -> None:
        super()._init_graph(inputs, outputs)
        self.__dict__["_predict_function"] = None
        self.__dict__["_steps"] = {}
        if self.__dict__.get("_compiled_with") is not None:
            self._resolve_endpoints()

    # Compiling.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        sample_weight_mode: Any = None,
        weighted_metrics: Any = None,
        target_tensors: Any = None,
        **kwargs: Any,
    ) -> None:
        """Say how to train.

        Args:
            optimizer: a name or an ``Optimizer``.
            loss: a name, function or ``Loss``; a list or a dictionary by output name for several outputs.
            metrics: a list of names, functions or ``Metric`` objects; lists or a dictionary for several outputs.
            loss_weights: the factor of each output's loss, a list or dictionary.
            sample_weight_mode: ``'temporal'`` for weights per timestep.
            weighted_metrics: as ``metrics``, computed with sample and class weights.
            target_tensors: must be ``None``.

        Raises:
            ValueError: an unknown name (the nearest known one is suggested) or a wrong number of entries.
        """
        if target_tensors is not None:
            raise ValueError("target_tensors is not supported: pass the targets to fit")
        ignored = {"run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss"}
        unknown = set(kwargs) - ignored
        if unknown:
            raise TypeError(f"compile got an unexpected keyword argument '{sorted(unknown)[0]}'")
        resolved = optimizers.get(optimizer)
        before = self.__dict__.get("_compiled_with"), self.__dict__.get("_endpoints")
        self._compiled_with = {
            "loss": loss,
            "metrics": metrics,
            "loss_weights": loss_weights,
            "sample_weight_mode": sample_weight_mode,
            "weighted_metrics": weighted_metrics,
        }
        try:
            if self.outputs:
                self._resolve_endpoints()
        except Exception:
            self._compiled_with, self._endpoints = before  # type: ignore[assignment]
            raise
        self.optimizer = resolved
        self._steps = {}
        self._collected_trainable_weights = self.trainable_weights

    def _resolve_endpoints(self) -> None:
        assert self._compiled_with is not None
        self._endpoints = resolve(self.output_names, self.outputs, **self._compiled_with)
        self._collected_trainable_weights = self.trainable_weights

    @property
    def loss(self) -> Any:
        return None if self._compiled_with is None else self._compiled_with["loss"]

    @property
    def _is_compiled(self) -> bool:
        return self.optimizer is not None

    def _layer_metric_objects(self) -> list[tuple[metrics_module.Metric, Tensor]]:
        """The metrics that layers reported with ``add_metric``, and the tensors they average."""
        found = []
        entries = [*self._added_metrics, *(m for layer in self.layers for m in layer.metrics)]
        for name, value, _ in (e for e in entries if isinstance(e, tuple)):
            if name not in self._metric_cache:
                self._metric_cache[name] = metrics_module.Mean(name=name)
            found.append((self._metric_cache[name], value))
        return found

    @property
    def metrics(self) -> list:
        """The metric objects of the compiled model."""
        own = [m for e in self._endpoints for m in [*e.metrics, *e.weighted_metrics]]
        return [*own, *(m for m, _ in self._layer_metric_objects())]

    @property
    def metrics_names(self) -> list[str]:
        """The names of what ``evaluate`` and ``train_on_batch`` return, the loss first."""
        return metric_names(self._endpoints, [m for m, _ in self._layer_metric_objects()])

    def reset_metrics(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_states()

    # What the programs need.

    def _random_seed(self) -> int:
        """The seed of this model's training: drawn once, kept in its files."""
        if self._seed is None:
            self._seed = rng.get_seed()
        return self._seed

    def _require_compiled(self) -> None:
        if not self._is_compiled:
            raise RuntimeError(
                "You must compile a model before training/testing. Use `model.compile(optimizer, loss)`."
            )

    def _require_inputs(self, x: Any) -> None:
        """Build a model that doesn't know its inputs yet, from the first data that come."""
        if self.outputs:
            return
        arrays = (
            [x[k] for k in x] if isinstance(x, dict) else list(x) if isinstance(x, (list, tuple)) else [x]
        )
        arrays = [np.asarray(a) if not hasattr(a, "shape") else a for a in arrays]
        tensors = [
            Input(shape=a.shape[1:] if len(a.shape) > 1 else (1,), dtype=_input_dtype(np.dtype(a.dtype)))
            for a in arrays
        ]
        self._build_on(tensors)

    def _build_on(self, tensors: list[Tensor]) -> None:
        inputs = unpack(tensors)
        outputs = self._traced_call(inputs, (), {})
        self._init_subclassed(tensors, flatten(outputs))
        if self._compiled_with is not None:
            self._resolve_endpoints()

    def _input_specs(self) -> list[Spec]:
        return [
            Spec(name, tuple(t.shape), t.dtype) for name, t in zip(self.input_names, self.inputs, strict=True)
        ]

    def _trained(self) -> list[Endpoint]:
        return [e for e in self._endpoints if e.trained]

    def _target_specs(self) -> list[Spec]:
        return [e.target_spec() for e in self._trained()]

    def _step(self, targets: Sequence[np.ndarray], weights: Sequence[np.ndarray | None], train: bool) -> Step:
        """The program for targets and weights of these ranks."""
        key = (train, *(y.ndim for y in targets), *(None if w is None else w.ndim for w in weights))
        step = self._steps.get(key)
        if step is None:
            if train:
                self._warn_if_trainable_changed()
            kinds = [((None,) * y.ndim, y.dtype.name) for y in targets]
            ranks = [None if w is None else w.ndim for w in weights]
            step = self._steps[key] = build_step(self, self._endpoints, kinds, ranks, train)
        return step

    def _warn_if_trainable_changed(self) -> None:
        if self._is_compiled and len(self.trainable_weights) != len(self._collected_trainable_weights):
            warnings.warn(
                "Discrepancy between trainable weights and collected trainable weights, did you set "
                "`model.trainable` without calling `model.compile` after ?",
                UserWarning,
                stacklevel=4,
            )

    def _predictor(self) -> Function:
        if self._predict_function is None:
            self._predict_function = build_predict(self)
        return self._predict_function

    def run_step(self, batch: tuple, train: bool) -> list[float]:
        """The scalars of one step on ``(inputs, targets, weights)``."""
        inputs, targets, weights = batch
        step = self._step(targets, weights, train)
        return step([*inputs, *targets, *(w for w in weights if w is not None)], train)

    def run_rows(self, rows: Rows, train: bool) -> Iterator[tuple[np.ndarray, int]]:
        """``run_step`` on an epoch's batches: yields the scalars of some of them, a row each, and their size."""
        function = self._step(rows.targets, rows.weights, train).function
        for feed, size in rows.feeds():
            shapes = [(size, *a.shape[1:]) for a in rows.arrays]
            for (scalars,) in function.run_batches(feed, shapes, train):
                yield scalars, size

    # Whole data sets.

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = 1,
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_freq: Any = 1,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        validation_batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Train for ``epochs`` passes over the data, and return a ``History``.

        Args:
            x: an array, list or dictionary (by input name) of arrays, HDF5 datasets, a generator or ``Sequence``.
            y: the targets likewise; ``None`` for generators and sequences.
            batch_size: samples per update, 32 if ``None``.
            epochs: the number of the last epoch; ``initial_epoch``: that of the first, 0 based.
            verbose: 0 silent, 1 progress bar, 2 one line an epoch.
            callbacks: a list of ``Callback``.
            validation_split: the fraction at the end of the data to validate on.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, or a generator or ``Sequence``.
            shuffle: whether to shuffle each epoch; ``'batch'`` shuffles whole batches (for HDF5).
            class_weight: maps a class to the weight of its samples.
            sample_weight: a weight per sample, or per timestep with ``sample_weight_mode='temporal'``.
            steps_per_epoch, validation_steps: batches per epoch; needed for endless generators.
            validation_freq: validate every so many epochs, or after the epochs in this list.
            max_queue_size, workers, use_multiprocessing: how generators and sequences are read ahead.

        Raises:
            RuntimeError: the model was not compiled.
            ValueError: data don't fit the model; the message names which.
        """
        if "nb_epoch" in kwargs:
            warnings.warn("The `nb_epoch` argument in `fit` has been renamed `epochs`.", stacklevel=2)
            epochs = kwargs.pop("nb_epoch")
        if kwargs:
            raise TypeError(f"fit got an unexpected keyword argument '{sorted(kwargs)[0]}'")
        return loops.fit(
            self, x, y, batch_size=batch_size, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_split=validation_split, validation_data=validation_data, shuffle=shuffle,
            class_weight=class_weight, sample_weight=sample_weight, initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch, validation_steps=validation_steps, validation_freq=validation_freq,
            max_queue_size=max_queue_size, workers=workers, use_multiprocessing=use_multiprocessing,
            validation_batch_size=validation_batch_size,
        )  # fmt: skip

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = 1,
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics over the data: a number, or a list in the order of ``metrics_names``."""
        results = loops.evaluate(
            self, x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, steps=steps,
            callbacks=callbacks, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        if return_dict:
            return dict(zip(self.metrics_names, results, strict=True))
        return unpack(results)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
    ) -> Any:
        """The outputs for ``x``, as an array, or a list of them for several outputs.

        Any number of threads may call it at once.
        """
        if not verbose and callbacks is None and steps is None:
            quick = self._predict_one_batch(x, 32 if batch_size is None else batch_size)
            if quick is not None:
                return quick
        return loops.predict(
            self, x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks,
            max_queue_size=max_queue_size, workers=workers, use_multiprocessing=use_multiprocessing,
        )  # fmt: skip

    def _predict_one_batch(self, x: Any, batch_size: float = math.inf) -> Any:
        """The prediction of an array that fits into one batch as it is; ``None`` where the long way is needed."""
        function = self._predict_function
        if function is None or type(x) is not np.ndarray or x.ndim == 0 or not 0 < len(x) <= batch_size:
            return None
        outputs = function.again([x])
        if outputs is None:
            if not self._is_input(x):
                return None
            outputs = function([x])
        return outputs[0] if len(outputs) == 1 else outputs

    def _is_input(self, x: np.ndarray) -> bool:
        """Whether the array is the model's one input as it is, apart from its dtype."""
        if len(self.inputs) != 1 or x.dtype.kind not in "biuf":
            return False
        shape = self.inputs[0].shape
        return x.ndim == len(shape) and all(s is None or s == d for s, d in zip(shape, x.shape, strict=True))

    # Single batches.

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        reset_metrics: bool = True,
        return_dict: bool = False,
    ) -> Any:
        """One update on one batch; returns the loss, or a list in the order of ``metrics_names``."""
        self._require_compiled()
        if reset_metrics:
            self.reset_metrics()
        return self._on_batch(x, y, sample_weight, class_weight, True, return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        reset_metrics: bool = True,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics of one batch; returns the loss, or a list in the order of ``metrics_names``."""
        self._require_compiled()
        if reset_metrics:
            self.reset_metrics()
        return self._on_batch(x, y, sample_weight, None, False, return_dict)

    def _on_batch(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, train: bool, return_dict: bool
    ) -> Any:
        weighted = sample_weight is not None or class_weight is not None
        results = None if weighted else self._step_again(x, y, train)
        if results is None:
            results = self.run_step(self._one_batch(x, y, sample_weight, class_weight), train)
        if return_dict:
            return dict(zip(self.metrics_names, results, strict=True))
        return results[0] if len(results) == 1 else results

    def _step_again(self, x: Any, y: Any, train: bool) -> list[float] | None:
        """The scalars of one step, if it is on arrays like those of the last one; else ``None``."""
        step = self._steps.get((train, y.ndim, None)) if type(y) is np.ndarray else None
        scalars = None if step is None else step.function.again([x, y], train)
        return None if scalars is None else scalars[0].tolist()

    def _one_batch(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> tuple:
        self._require_inputs(x)
        input_specs, target_specs = self._input_specs(), self._target_specs()
        inputs = standardize(x, input_specs, "input")
        targets = standardize(y, target_specs, "target")
        modes = [e.sample_weight_mode for e in self._trained()]
        weights = standardize_weights(targets, target_specs, sample_weight, class_weight, modes)
        check_lengths(inputs, targets, weights)
        return (
            [np.ascontiguousarray(a, s.dtype) for a, s in zip(inputs, input_specs, strict=True)],
            [np.ascontiguousarray(a, s.dtype) for a, s in zip(targets, target_specs, strict=True)],
            [None if w is None else np.ascontiguousarray(w, dtypes.floatx()) for w in weights],
        )

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        quick = self._predict_one_batch(x)
        if quick is not None:
            return quick
        self._require_inputs(x)
        inputs = standardize(x, self._input_specs(), "input")
        check_lengths(inputs, [])
        return unpack(self._predictor()(inputs))

    # Generators, as older scripts name them.

    def fit_generator(
        self, generator: Any, steps_per_epoch: int | None = None, epochs: int = 1, verbose: Any = 1,
        callbacks: Any = None, validation_data: Any = None, validation_steps: int | None = None,
        validation_freq: Any = 1, class_weight: Any = None, max_queue_size: int = 10, workers: int = 1,
        use_multiprocessing: bool = False, shuffle: bool = True, initial_epoch: int = 0,
    ) -> Any:  # fmt: skip
        """``fit`` on a generator or ``Sequence``."""
        return self.fit(
            generator, steps_per_epoch=steps_per_epoch, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_data=validation_data, validation_steps=validation_steps, validation_freq=validation_freq,
            class_weight=class_weight, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing, shuffle=shuffle, initial_epoch=initial_epoch,
        )  # fmt: skip

    def evaluate_generator(
        self, generator: Any, steps: int | None = None, callbacks: Any = None, max_queue_size: int = 10,
        workers: int = 1, use_multiprocessing: bool = False, verbose: Any = 0,
    ) -> Any:  # fmt: skip
        """``evaluate`` on a generator or ``Sequence``."""
        return self.evaluate(
            generator, steps=steps, callbacks=callbacks, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing, verbose=verbose,
        )  # fmt: skip

    def predict_generator(
        self, generator: Any, steps: int | None = None, callbacks: Any = None, max_queue_size: int = 10,
        workers: int = 1, use_multiprocessing: bool = False, verbose: Any = 0,
    ) -> Any:  # fmt: skip
        """``predict`` on a generator or ``Sequence``."""
        return self.predict(
            generator, steps=steps, callbacks=callbacks, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing, verbose=verbose,
        )  # fmt: skip

    def _adapted(self, x: Any, y: Any, sample_weight: Any = None, **options: Any) -> Any:
        """Batches of the data, checked against the model (which is built on them if it has to be)."""
        from kcore.training.data_adapter import is_batch_source

        with_targets = options.pop("with_targets", True)
        batches = None
        if not self.outputs:
            if is_batch_source(x):
                batches = adapt(x, y, sample_weight, weight_dtype=dtypes.floatx(), **options)
                self._require_inputs(batches.peek()[0])
            else:
                self._require_inputs(x)
        targets = self._target_specs() if with_targets else []
        modes = [e.sample_weight_mode for e in self._trained()] if with_targets else []
        if isinstance(batches, (IterableBatches, SequenceBatches)):
            batches.expect(self._input_specs(), targets, modes)
            return batches
        return adapt(
            x, y, sample_weight, inputs=self._input_specs(), targets=targets, sample_weight_modes=modes,
            weight_dtype=dtypes.floatx(), **options,
        )  # fmt: skip


def _input_dtype(dtype: np.dtype) -> str:
    """Of an input that is made for data: integers stay integers, as embeddings need them."""
    return "int32" if dtype.kind in "iu" and dtype.itemsize > 1 else dtypes.floatx()
