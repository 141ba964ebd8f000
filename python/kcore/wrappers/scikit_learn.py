"""Models as scikit-learn estimators, for its pipelines, cross-validation and searches over parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..models import Sequential
from ..utils.generic_utils import has_arg
from ..utils.np_utils import to_categorical


class BaseWrapper:
    """An estimator around a function that builds a compiled model.

    Args:
        build_fn: function, or object with ``__call__``, that returns a compiled model; by default the
            ``__call__`` of a subclass.
        sk_params: arguments of ``build_fn``, and of the model's ``fit``, ``predict`` and ``evaluate``
            (``epochs=10``). They are the parameters that scikit-learn reads and sets.

    Attributes:
        model: the model, once fitted.
    """

    def __init__(self, build_fn: Callable | None = None, **sk_params):
        self.build_fn = build_fn
        self.sk_params = sk_params
        self.check_params(sk_params)

    def _builder(self) -> Callable:
        if self.build_fn is not None:
            return self.build_fn
        if not callable(self):
            raise TypeError(f"{type(self).__name__} needs a `build_fn`, or a subclass that defines __call__.")
        return self

    def check_params(self, params: dict[str, Any]) -> None:
        """Raises ValueError if a parameter is no argument of the builder or of the model's methods."""
        methods = (Sequential.fit, Sequential.predict, Sequential.evaluate)
        for name in params:
            if name == "nb_epoch" or any(has_arg(method, name) for method in methods):
                continue
            if not has_arg(self._builder(), name, accept_all=True):
                raise ValueError(f"{name} is not a legal parameter: neither the builder nor fit() has it.")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; copies, if ``deep``."""
        params = copy.deepcopy(self.sk_params) if deep else dict(self.sk_params)
        return {**params, "build_fn": self.build_fn}

    def set_params(self, **params):
        """Changes parameters; returns the estimator."""
        if "build_fn" in params:
            self.build_fn = params.pop("build_fn")
        self.check_params(params)
        self.sk_params.update(params)
        return self

    def filter_sk_params(self, fn: Callable, override: dict[str, Any] | None = None) -> dict[str, Any]:
        """The parameters that are arguments of ``fn``, and those of ``override``."""
        return {name: value for name, value in self.sk_params.items() if has_arg(fn, name)} | (override or {})

    def fit(self, x, y, **kwargs):
        """Builds a model anew and trains it.

        Args:
            x: array of shape ``(n_samples, n_features)``, or whatever the model takes.
            y: targets.
            kwargs: of the model's ``fit``; they win over the parameters.

        Returns:
            The ``History``.
        """
        builder = self._builder()
        self.model = builder(**self.filter_sk_params(builder))
        loss = self.model.loss
        name = loss if isinstance(loss, str) else getattr(loss, "__name__", getattr(loss, "name", None))
        if name == "categorical_crossentropy" and np.ndim(y) != 2:
            y = to_categorical(y)
        return self.model.fit(x, y, **self.filter_sk_params(Sequential.fit, kwargs))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model")


class KerasClassifier(BaseWrapper):
    """A classifier. The model ends in one probability per class, or in a single one for two classes.

    Attributes:
        classes_: the classes, sorted, in the order of the model's outputs.
    """

    def fit(self, x, y, sample_weight=None, **kwargs):
        """Trains on classes of shape ``(n,)`` or ``(n, 1)``, or one-hot rows ``(n, classes)``."""
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] > 1:
            self.classes_ = np.arange(y.shape[1])
        elif y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
            self.classes_, y = np.unique(y, return_inverse=True)
            y = y.reshape(-1)
        else:
            raise ValueError(f"Invalid shape for y: {y.shape}")
        self.n_classes_ = len(self.classes_)
        if sample_weight is not None:
            kwargs["sample_weight"] = sample_weight
        return super().fit(x, y, **kwargs)

    def _probabilities(self, x, **kwargs) -> np.ndarray:
        return np.asarray(self.model.predict(x, **self.filter_sk_params(Sequential.predict, kwargs)))

    def predict(self, x, **kwargs) -> np.ndarray:
        """The most probable class of each sample, shape ``(n,)``."""
        probabilities = self._probabilities(x, **kwargs)
        if probabilities.shape[-1] > 1:
            return self.classes_[probabilities.argmax(axis=-1)]
        return self.classes_[(probabilities[:, 0] > 0.5).astype(int)]

    def predict_proba(self, x, **kwargs) -> np.ndarray:
        """Probabilities of shape ``(n, classes)``, two columns for a single output."""
        probabilities = self._probabilities(x, **kwargs)
        if probabilities.shape[1] == 1:
            probabilities = np.hstack([1 - probabilities, probabilities])
        return probabilities

    def score(self, x, y, **kwargs) -> float:
        """The fraction of samples whose class is predicted."""
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] > 1:
            y = self.classes_[y.argmax(axis=1)]
        return float(np.mean(self.predict(x, **kwargs) == y.reshape(-1)))

    def __sklearn_tags__(self):
        return _tags("classifier")


class KerasRegressor(BaseWrapper):
    """A regressor."""

    def predict(self, x, **kwargs) -> np.ndarray:
        """Predictions; of shape ``(n,)`` for a single output."""
        predicted = self.model.predict(x, **self.filter_sk_params(Sequential.predict, kwargs))
        return np.squeeze(predicted, axis=-1) if predicted.shape[-1] == 1 else predicted

    def score(self, x, y, **kwargs) -> float:
        """Minus the loss, so that larger is better."""
        loss = self.model.evaluate(x, y, **self.filter_sk_params(Sequential.evaluate, kwargs))
        return -float(loss[0] if isinstance(loss, list) else loss)

    def __sklearn_tags__(self):
        return _tags("regressor")


def _tags(kind: str):
    # Only scikit-learn asks for this, so it is there.
    from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

    return Tags(
        estimator_type=kind,
        target_tags=TargetTags(required=True),
        transformer_tags=None,
        classifier_tags=ClassifierTags() if kind == "classifier" else None,
        regressor_tags=RegressorTags() if kind == "regressor" else None,
        input_tags=InputTags(),
    )
