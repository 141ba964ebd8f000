import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from kcore.utils import GeneratorEnqueuer, OrderedEnqueuer, Sequence


class Squares(Sequence):
    def __init__(self, count=7, bad=None):
        super().__init__()
        self.count, self.bad, self.epoch = count, bad, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.bad:
            raise KeyError("bad item")
        time.sleep(0.002 * (index % 3))  # later items are often ready first
        return self.epoch, index * index

    def on_epoch_end(self):
        self.epoch += 1


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


@pytest.mark.parametrize("processes", [False, True])
def test_items_come_in_order_pass_after_pass(processes):
    with OrderedEnqueuer(Squares(), use_multiprocessing=processes) as enqueuer:
        enqueuer.start(workers=3, max_queue_size=4)
        items = take(enqueuer.get(), 16)
    expected = [(epoch, i * i) for epoch in range(3) for i in range(7)]
    assert items == expected[:16]
    assert not enqueuer.is_running()


def test_shuffled_passes_have_all_items():
    with OrderedEnqueuer(Squares(20), shuffle=True, seed=3) as enqueuer:
        enqueuer.start(workers=2)
        items = take(enqueuer.get(), 40)
    first, second = [i for _, i in items[:20]], [i for _, i in items[20:]]
    assert sorted(first) == sorted(second) == [i * i for i in range(20)]
    assert first != second


@pytest.mark.parametrize("processes", [False, True])
def test_a_workers_error_is_raised_at_its_item(processes):
    enqueuer = OrderedEnqueuer(Squares(bad=2), use_multiprocessing=processes)
    enqueuer.start(workers=2)
    items = enqueuer.get()
    assert take(items, 2) == [(0, 0), (0, 1)]
    with pytest.raises(KeyError, match="bad item"):
        next(items)
    assert not enqueuer.is_running()


class Dying(Squares):
    def __getitem__(self, index):
        os._exit(3)


def test_a_killed_worker_is_an_error_not_a_hang():
    enqueuer = OrderedEnqueuer(Dying(), use_multiprocessing=True)

    def first_item():
        enqueuer.start(workers=1)  # the worker may be dead before all its work is handed out
        return next(enqueuer.get())

    with pytest.raises(Exception, match="terminated abruptly"):
        first_item()


def test_an_empty_sequence():
    with pytest.raises(ValueError, match="length is 0"):
        OrderedEnqueuer(Squares(0)).start()


def test_starting_twice():
    with OrderedEnqueuer(Squares()) as enqueuer:
        enqueuer.start()
        with pytest.raises(RuntimeError, match="already"):
            enqueuer.start()


def test_the_queue_is_bounded():
    made = []

    def generate():
        for i in range(1000):
            made.append(i)
            yield i

    with GeneratorEnqueuer(generate()) as enqueuer:
        enqueuer.start(max_queue_size=3)
        assert take(enqueuer.get(), 2) == [0, 1]
        time.sleep(0.05)
        assert len(made) <= 2 + 3 + 1
    assert "kcore-generator" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("workers", [1, 3])
def test_a_generators_items_keep_their_order_and_end(workers):
    enqueuer = GeneratorEnqueuer(i for i in range(50))
    enqueuer.start(workers=workers, max_queue_size=5)
    assert list(enqueuer.get()) == list(range(50))
    assert not enqueuer.is_running()


def test_processes_each_run_the_generator():
    def generate():
        for i in range(4):
            yield os.getpid(), i, float(np.random.rand())

    enqueuer = GeneratorEnqueuer(generate(), use_multiprocessing=True, random_seed=5)
    enqueuer.start(workers=2)
    items = list(enqueuer.get())
    assert sorted(i for _, i, _ in items) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len({pid for pid, _, _ in items}) == 2
    assert len({value for _, _, value in items}) == 8


@pytest.mark.parametrize("processes", [False, True])
def test_a_generators_error_is_raised(processes):
    def generate():
        yield 1
        raise ArithmeticError("in the generator")

    enqueuer = GeneratorEnqueuer(generate(), use_multiprocessing=processes)
    enqueuer.start()
    items = enqueuer.get()
    assert next(items) == 1
    with pytest.raises(ArithmeticError, match="in the generator"):
        next(items)
    assert not enqueuer.is_running()


def test_a_killed_generator_process_is_an_error():
    def generate():
        yield 1
        time.sleep(0.2)  # until the item is through
        os._exit(1)

    enqueuer = GeneratorEnqueuer(generate(), use_multiprocessing=True)
    enqueuer.start()
    items = enqueuer.get()
    assert next(items) == 1
    with pytest.raises(RuntimeError, match="died"):
        next(items)


def test_stop_does_not_wait_for_ever():
    release = threading.Event()

    def generate():
        release.wait()
        yield 1

    enqueuer = GeneratorEnqueuer(generate())
    enqueuer.start()
    enqueuer.stop(timeout=0.05)
    assert not enqueuer.is_running()
    release.set()


def test_a_plain_sequence_can_be_iterated():
    assert list(Squares(3)) == [(0, 0), (0, 1), (0, 4)]
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Sequence()[0]
    with pytest.raises(NotImplementedError, match="__len__"):
        len(Sequence())


INTERRUPTED = """
import os, signal, sys, time
import numpy as np
from kcore.utils import GeneratorEnqueuer, OrderedEnqueuer, Sequence

class Slow(Sequence):
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        time.sleep(0.01)
        return index

source = Slow()
enqueuer = OrderedEnqueuer(source, True) if sys.argv[1] == "sequence" else GeneratorEnqueuer(iter(source), True)
enqueuer.start(workers=2)
items = enqueuer.get()
next(items)
try:
    os.killpg(0, signal.SIGINT)
    for item in items:
        pass
except KeyboardInterrupt:
    enqueuer.stop(timeout=1)
    print("stopped")
"""


@pytest.mark.parametrize("kind", ["sequence", "generator"])
def test_an_interrupt_ends_workers_quietly(kind):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, kind],
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("stopped\n", "", 0)
