"""``Callback``, what users subclass, and ``CallbackList``, what a training loop calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Callback:
    """Something that is told what happens during training, evaluation and prediction.

    Subclass it and define the hooks of interest. Epochs and batches are numbered from 0. ``logs`` is a
    dictionary: at the end of a batch it has ``"loss"`` and the metrics; at the end of an epoch also
    ``"val_loss"`` etc.; what a callback adds to it there appears in the history.

    Attributes:
        model: the model, set before the first hook is called.
        params: ``epochs``, ``steps``, ``batch_size``, ``samples``, ``verbose``, ``metrics`` (their names)
            and ``do_validation``.
    """

    def __init__(self):
        self.validation_data = None
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model) -> None:
        self.model = model

    def on_train_begin(self, logs=None):
        """Before the first epoch."""

    def on_train_end(self, logs=None):
        """After the last epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch of training."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch of training and its validation."""

    def on_batch_begin(self, batch, logs=None):
        """An older name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch, logs=None):
        """An older name of ``on_train_batch_end``."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before a training batch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """After a training batch."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs=None):
        """Before evaluation, also within ``fit``."""

    def on_test_end(self, logs=None):
        """After evaluation."""

    def on_test_batch_begin(self, batch, logs=None):
        """Before a batch of evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """After a batch of evaluation."""

    def on_predict_begin(self, logs=None):
        """Before prediction."""

    def on_predict_end(self, logs=None):
        """After prediction."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before a batch of prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """After a batch of prediction."""


def takes_several(hook: Callable) -> Callable:
    """Marks an end-of-batch hook that one call may tell of several batches: its logs then have ``"num_steps"``.

    Where all hooks of batches are of this kind, these run as one native call, some tens of milliseconds long.
    """
    hook.takes_several = True  # type: ignore[attr-defined]
    return hook


_HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
_OLDER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


def _defines(callback, hook: str) -> bool:
    """Whether a hook does anything: it is a function other than ``Callback``'s own."""
    method = getattr(callback, hook, None)
    return method is not None and getattr(method, "__func__", method) is not getattr(Callback, hook)


class CallbackList:
    """Several callbacks, called in order.

    Which callbacks define which hooks is found out when the list changes and at the beginning of each
    epoch, so a hook that nobody defines costs next to nothing per batch.

    Args:
        callbacks: any objects with some of ``Callback``'s hooks.
        add_history: append a ``History`` unless there is one (then it is ``.history``).
        add_progbar: append a ``ProgbarLogger`` unless there is one.
        model, params: given to each callback.

    Raises:
        TypeError: for a name or a class in place of a callback.
    """

    def __init__(
        self,
        callbacks: Iterable[Any] | None = None,
        *,
        add_history: bool = False,
        add_progbar: bool = False,
        model=None,
        **params,
    ):
        from .loggers import History, ProgbarLogger

        self.callbacks: list[Any] = list(callbacks or [])
        for callback in self.callbacks:
            if not any(hasattr(callback, hook) for hook in _HOOKS) or isinstance(callback, type):
                raise TypeError(
                    f"a callback must be an object with hooks such as `on_epoch_end`, got {callback!r}"
                )
        if add_progbar and not any(isinstance(callback, ProgbarLogger) for callback in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self.history = next((callback for callback in self.callbacks if isinstance(callback, History)), None)
        if add_history and self.history is None:
            self.history = History()
            self.callbacks.append(self.history)
        self.params: dict[str, Any] = {}
        self.model = None
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)
        self._find_hooks()

    def _find_hooks(self) -> None:
        hooks: dict[str, tuple[Callable, ...]] = {}
        for hook in _HOOKS:
            older = _OLDER_NAMES.get(hook)
            methods = []
            for callback in self.callbacks:
                if _defines(callback, hook):
                    methods.append(getattr(callback, hook))
                elif older is not None and _defines(callback, older):
                    methods.append(getattr(callback, older))
            hooks[hook] = tuple(methods)
        self._hooks = hooks
        self._train_batch_begin = hooks["on_train_batch_begin"]
        self._train_batch_end = hooks["on_train_batch_end"]
        self._test_batch_begin = hooks["on_test_batch_begin"]
        self._test_batch_end = hooks["on_test_batch_end"]
        self._predict_batch_begin = hooks["on_predict_batch_begin"]
        self._predict_batch_end = hooks["on_predict_batch_end"]

    def defines(self, hook: str) -> bool:
        """Whether any callback defines the hook, so that its logs are worth collecting."""
        return bool(self._hooks[hook])

    def hears_each(self, hook: str) -> bool:
        """Whether any callback defines the hook such that it must be called for each batch."""
        return any(not getattr(method, "takes_several", False) for method in self._hooks[hook])

    def append(self, callback) -> None:
        self.callbacks.append(callback)
        self._find_hooks()

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        for callback in self.callbacks:
            if hasattr(callback, "set_params"):
                callback.set_params(params)

    def set_model(self, model) -> None:
        self.model = model
        for callback in self.callbacks:
            if hasattr(callback, "set_model"):
                callback.set_model(model)

    def _call(self, hook: str, *args) -> None:
        for method in self._hooks[hook]:
            method(*args)

    def on_train_begin(self, logs=None) -> None:
        self._find_hooks()
        self._call("on_train_begin", {} if logs is None else logs)

    def on_train_end(self, logs=None) -> None:
        self._call("on_train_end", {} if logs is None else logs)

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        self._find_hooks()
        self._call("on_epoch_begin", epoch, {} if logs is None else logs)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        self._call("on_epoch_end", epoch, {} if logs is None else logs)

    def on_test_begin(self, logs=None) -> None:
        self._call("on_test_begin", {} if logs is None else logs)

    def on_test_end(self, logs=None) -> None:
        self._call("on_test_end", {} if logs is None else logs)

    def on_predict_begin(self, logs=None) -> None:
        self._call("on_predict_begin", {} if logs is None else logs)

    def on_predict_end(self, logs=None) -> None:
        self._call("on_predict_end", {} if logs is None else logs)

    def on_train_batch_begin(self, batch: int, logs=None) -> None:
        for method in self._train_batch_begin:
            method(batch, {} if logs is None else logs)

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        for method in self._train_batch_end:
            method(batch, {} if logs is None else logs)

    def on_test_batch_begin(self, batch: int, logs=None) -> None:
        for method in self._test_batch_begin:
            method(batch, {} if logs is None else logs)

    def on_test_batch_end(self, batch: int, logs=None) -> None:
        for method in self._test_batch_end:
            method(batch, {} if logs is None else logs)

    def on_predict_batch_begin(self, batch: int, logs=None) -> None:
        for method in self._predict_batch_begin:
            method(batch, {} if logs is None else logs)

    def on_predict_batch_end(self, batch: int, logs=None) -> None:
        for method in self._predict_batch_end:
            method(batch, {} if logs is None else logs)

    on_batch_begin = on_train_batch_begin
    on_batch_end = on_train_batch_end

    def __iter__(self) -> Iterator:
        return iter(self.callbacks)
