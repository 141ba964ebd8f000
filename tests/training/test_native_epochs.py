"""Epochs whose batches run as one native call, and the feed that gathers them."""

import os
import resource
import signal
import threading
import time

import numpy as np
import pytest

from kcore import callbacks, config
from kcore._core import Feed
from kcore.callbacks.callback import takes_several
from kcore.graph import native
from kcore.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from kcore.models import Sequential
from kcore.utils import set_random_seed

WIDE = 1 << 12  # floats in a row: 64 rows are what is gathered ahead


@pytest.fixture(params=[1, 2])
def threads(request):
    before = config.num_threads()
    config.set_num_threads(request.param)
    yield request.param
    config.set_num_threads(before)


def native_threads():
    return len(os.listdir("/proc/self/task"))


def threads_become(count):
    """Whether so many are left: a thread that has been joined may be listed for a moment more."""
    end = time.monotonic() + 5
    while native_threads() != count and time.monotonic() < end:
        time.sleep(0.001)
    return native_threads() == count


class Listener(callbacks.Callback):
    """Hears of each batch, which runs them one by one."""

    def on_train_batch_end(self, batch, logs=None):
        assert logs["batch"] == batch

    def on_test_batch_end(self, batch, logs=None):
        pass


def trained(listener, rows=107, width=6, shuffle=True, **options):
    set_random_seed(3)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((rows, width), dtype="float32")
    y = rng.integers(0, 3, rows)
    model = Sequential(
        [Dense(8, activation="relu", input_dim=width), Dropout(0.3), Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x,
        y,
        callbacks=[listener] if listener else None,
        **{
            "batch_size": 16,
            "epochs": 3,
            "shuffle": shuffle,
            "verbose": 0,
            "validation_split": 0.2,
            **options,
        },
    )
    return history.history, model.get_weights(), model.evaluate(x, y, batch_size=16, verbose=0)


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
@pytest.mark.parametrize("options", [{}, {"class_weight": {0: 1.0, 1: 0.5, 2: 2.0}}, {"steps_per_epoch": 4}])
def test_same_bits_whether_somebody_listens_or_not(shuffle, options):
    quiet, heard = trained(None, shuffle=shuffle, **options), trained(Listener(), shuffle=shuffle, **options)
    assert quiet[0] == heard[0]
    assert quiet[2] == heard[2]
    for a, b in zip(quiet[1], heard[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_bits_when_gathered_ahead(threads):
    quiet = trained(None, rows=400, width=WIDE * 4)
    heard = trained(Listener(), rows=400, width=WIDE * 4)
    assert quiet[0] == heard[0]
    for a, b in zip(quiet[1], heard[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_progress_bar_counts_batches_that_run_together():
    class Bar(callbacks.ProgbarLogger):
        seen_at_the_end = None

        def on_epoch_end(self, epoch, logs=None):
            self.seen_at_the_end = self.seen
            super().on_epoch_end(epoch, logs)

    bar = Bar()
    trained(bar)
    assert bar.seen_at_the_end == 85


def test_ctrl_c_ends_an_epoch_nobody_listens_to():
    config.set_num_threads(2)
    trained(None, rows=400, width=WIDE * 4)
    before = native_threads()
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        trained(None, rows=1000, width=WIDE * 4, steps_per_epoch=50, epochs=100_000)
    assert native_threads() <= before  # the timer's has ended too


def test_training_stops_between_native_calls():
    class Stop(callbacks.Callback):
        heard = 0

        @takes_several
        def on_train_batch_end(self, batch, logs=None):
            self.heard += logs["num_steps"]
            self.model.stop_training = True

    stop = Stop()
    history, _, _ = trained(stop)
    assert len(history["loss"]) == 1
    assert 1 <= stop.heard <= 6


@pytest.mark.parametrize("width", [3, WIDE])
@pytest.mark.parametrize("ordered", [True, False])
def test_feed_gives_rows_in_order(threads, width, ordered):
    source = np.arange(1000 * width, dtype="float32").reshape(1000, width)
    labels = np.arange(1000, dtype="int32")
    order = np.random.default_rng(0).permutation(1000) if ordered else None
    feed = Feed([source, labels], order, 90, 11)
    before = None
    for batch in range(11):
        assert feed.remaining == 11 - batch
        rows, numbers = feed.take()
        expected = np.arange(1000) if order is None else order
        np.testing.assert_array_equal(numbers, expected[batch * 90 : batch * 90 + 90])
        np.testing.assert_array_equal(rows, source[numbers])
        if before is not None:  # the batch before is as it was
            np.testing.assert_array_equal(before[0], source[before[1]])
        before = rows, numbers
    with pytest.raises(IndexError, match="no batch is left"):
        feed.take()


@pytest.mark.parametrize("width", [3, WIDE])
@pytest.mark.parametrize("wrong", [-1, 1000])
def test_feed_refuses_an_index_where_it_stands(threads, width, wrong):
    order = np.arange(1000)
    order[250] = wrong
    feed = Feed([np.zeros((1000, width), "float32")], order, 100, 10)
    feed.take()
    feed.take()
    with pytest.raises(IndexError, match=f"index {wrong} is out of range for 1000 rows"):
        feed.take()


@pytest.mark.parametrize(
    ("sources", "order", "rows", "batches", "message"),
    [
        ([np.zeros((4, 2))[:, :1]], None, 2, 1, "C-contiguous"),
        ([np.zeros((4, 2)), np.zeros((5, 2))], None, 2, 1, "all the same"),
        ([np.zeros(())], None, 2, 1, "must have rows"),
        ([np.zeros((4, 2))], None, 2, 3, "there are not 3 batches"),
        ([np.zeros((4, 2))], np.arange(3), 2, 2, "there are not 2 batches"),
        ([np.zeros((4, 2))], np.arange(4.0), 2, 2, "order must be int64"),
        ([np.zeros((4, 2))], None, 0, 2, "there are not"),
        ([], None, 1, 1, "there are not"),
    ],
)
def test_feed_checks_its_arguments(sources, order, rows, batches, message):
    with pytest.raises(ValueError, match=message):
        Feed(sources, order, rows, batches)


def test_feed_refuses_objects():
    with pytest.raises(TypeError, match="Python objects"):
        Feed([np.zeros((4, 2), object)], None, 2, 1)


def test_no_thread_stays_behind():
    config.set_num_threads(2)
    trained(None, rows=400, width=WIDE * 4)
    time.sleep(0.1)  # the team's own threads are there now
    before = native_threads()
    feed = Feed([np.zeros((1000, WIDE), "float32")], np.arange(1000), 100, 10)
    feed.take()
    assert threads_become(before + native.has_openmp())  # without OpenMP all is done by one thread
    feed.close()
    assert threads_become(before)
    feed.close()

    class Failing(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("as it should")

    try:
        trained(Failing(), rows=400, width=WIDE * 4)
    except RuntimeError as error:
        assert threads_become(before)  # while the traceback still holds the loop's frames
        del error
    else:
        raise AssertionError("the callback's error is lost")


def test_a_forked_child_gathers_by_itself():
    config.set_num_threads(2)
    source = np.arange(1000 * WIDE, dtype="float32").reshape(1000, WIDE)
    feed = Feed([source], np.arange(1000)[::-1].copy(), 100, 10)
    feed.take()
    child = os.fork()
    if child == 0:
        (rows,) = feed.take()
        right = bool((rows == source[::-1][100:200]).all())
        feed.close()
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(feed.take()[0], source[::-1][100:200])


def test_no_page_faults_after_the_first_steps(threads):
    set_random_seed(3)
    model = Sequential([Input((24, 24, 3)), Conv2D(16, 3, activation="relu"), MaxPooling2D(), Flatten()])
    model.add(Dense(500, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x, y = np.ones((32, 24, 24, 3), "float32"), np.ones((32, 10), "float32")

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(8):
            model.train_on_batch(x, y)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # The program's memory is thousands of pages; Python's own now and then needs one, and so does a thread that
    # for once takes another's task.
    assert min(faults() for _ in range(4)) < 16
