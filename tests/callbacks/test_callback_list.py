import pytest

from kcore.callbacks import Callback, CallbackList, History, LambdaCallback, ProgbarLogger
from kcore.callbacks.callback import _HOOKS


def call_all(callbacks):
    for hook in _HOOKS:
        method = getattr(callbacks, hook)
        if "batch" in hook or "epoch" in hook:
            method(0, {"loss": 1.0})
        else:
            method({})


class Recorder(Callback):
    def __init__(self):
        super().__init__()
        self.calls = []


def recording(name):
    def hook(self, *args):
        self.calls.append(name)

    return hook


def test_every_hook_reaches_a_callback():
    everything = type("Everything", (Recorder,), {name: recording(name) for name in _HOOKS})()
    call_all(CallbackList([everything]))
    called = list(_HOOKS)
    # The list's older names are the newer ones.
    called[called.index("on_batch_begin")] = "on_train_batch_begin"
    called[called.index("on_batch_end")] = "on_train_batch_end"
    assert everything.calls == called


def test_older_names_are_called_for_training_batches():
    class Older(Recorder):
        on_batch_begin = recording("begin")
        on_batch_end = recording("end")

    older = Older()
    callbacks = CallbackList([older])
    callbacks.on_train_batch_begin(0)
    callbacks.on_train_batch_end(0)
    callbacks.on_test_batch_end(0)
    assert older.calls == ["begin", "end"]


def test_hooks_that_nobody_defines():
    callbacks = CallbackList([Callback(), History()])
    assert not callbacks.defines("on_train_batch_end")
    assert callbacks.defines("on_epoch_end")
    callbacks.append(LambdaCallback(on_batch_end=lambda batch, logs: None))
    assert callbacks.defines("on_train_batch_end")
    assert not callbacks.defines("on_train_batch_begin")


def test_hooks_assigned_to_an_instance():
    seen = []
    plain = Callback()
    callbacks = CallbackList([plain])
    plain.on_train_batch_end = lambda batch, logs: seen.append(batch)
    callbacks.on_epoch_begin(0)
    callbacks.on_train_batch_end(3)
    assert seen == [3]


def test_an_object_with_a_single_hook_is_a_callback_too():
    class Foreign:
        epochs = 0

        def on_epoch_end(self, epoch, logs):
            self.epochs += 1

    foreign = Foreign()
    callbacks = CallbackList([foreign], model="model", epochs=3)
    call_all(callbacks)
    assert foreign.epochs == 1


@pytest.mark.parametrize("wrong", ["EarlyStopping", History, 3])
def test_names_and_classes_are_no_callbacks(wrong):
    with pytest.raises(TypeError, match="a callback must be an object with hooks"):
        CallbackList([wrong])


def test_model_params_and_order():
    calls = []
    one, two = (LambdaCallback(on_epoch_end=lambda e, logs, i=i: calls.append(i)) for i in (1, 2))
    callbacks = CallbackList([one, two], model="model", epochs=3)
    assert one.model == two.model == callbacks.model == "model"
    assert two.params == {"epochs": 3}
    callbacks.on_epoch_end(0)
    assert calls == [1, 2]
    assert list(callbacks) == [one, two]


def test_logs_are_shared_between_callbacks():
    seen = {}
    callbacks = CallbackList(
        [
            LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(lr=0.5)),
            LambdaCallback(on_epoch_end=lambda epoch, logs: seen.update(logs)),
        ]
    )
    callbacks.on_epoch_end(0, {"loss": 1.0})
    assert seen == {"loss": 1.0, "lr": 0.5}


def test_history_and_progress_are_added_once():
    callbacks = CallbackList(add_history=True, add_progbar=True)
    assert [type(callback) for callback in callbacks] == [ProgbarLogger, History]
    assert isinstance(callbacks.history, History)
    mine = History()
    callbacks = CallbackList([mine, ProgbarLogger()], add_history=True, add_progbar=True)
    assert len(callbacks.callbacks) == 2
    assert callbacks.history is mine


def test_lambda_callback_knows_its_hooks():
    calls = []
    callback = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: calls.append("epoch"),
        on_train_begin=lambda logs: calls.append("train"),
        on_test_batch_end=lambda batch, logs: calls.append("test"),
    )
    call_all(CallbackList([callback]))
    assert sorted(calls) == ["epoch", "test", "train"]
    with pytest.raises(TypeError, match="on_epoch_middle"):
        LambdaCallback(on_epoch_middle=print)
