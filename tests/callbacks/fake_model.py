"""Just enough of a model for callbacks: weights that count epochs, an optimizer with a rate, saving."""

from pathlib import Path

import numpy as np

from kcore.callbacks import CallbackList


class Variable:
    def __init__(self, value):
        self.value = np.float32(value)

    def assign(self, value):
        self.value = np.float32(value)

    def numpy(self):
        return self.value


class Optimizer:
    def __init__(self, rate=0.1):
        self.learning_rate = Variable(rate)
        self.momenta = np.zeros(2)

    def get_weights(self):
        return [self.momenta.copy()]

    def set_weights(self, weights):
        (self.momenta,) = weights


class Model:
    def __init__(self, optimizer=None):
        self.optimizer = optimizer or Optimizer()
        self.weights = [np.zeros(3)]
        self.stop_training = False
        self.saved = []
        self.rates = []
        self._initial_epoch = 0

    def get_weights(self):
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights):
        self.weights = [weight.copy() for weight in weights]

    def save(self, path, overwrite=True):
        self.saved.append(("model", path))
        Path(path).touch()

    def save_weights(self, path, overwrite=True):
        self.saved.append(("weights", path))

    def fit(self, callbacks, epoch_logs, batches=2, die_after=None, **params):
        """Trains as long as there are logs; the weights are the number of epochs trained."""
        self.stop_training = False
        callbacks = CallbackList(callbacks, add_history=True, model=self, epochs=len(epoch_logs), **params)
        callbacks.on_train_begin()
        for epoch, logs in list(enumerate(epoch_logs))[self._initial_epoch :]:
            callbacks.on_epoch_begin(epoch)
            self.rates.append(float(self.optimizer.learning_rate.numpy()))
            for batch in range(batches):
                callbacks.on_train_batch_begin(batch, {"batch": batch, "size": 4})
                callbacks.on_train_batch_end(batch, {"batch": batch, "size": 4, **logs})
            self.weights = [np.full(3, epoch + 1.0)]
            self.optimizer.momenta = np.full(2, epoch + 1.0)
            callbacks.on_epoch_end(epoch, dict(logs))
            if epoch == die_after:
                return None
            if self.stop_training:
                break
        callbacks.on_train_end()
        return callbacks.history
