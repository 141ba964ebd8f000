"""Functions run by several threads, within signal handlers, and around a fork."""

import os
import signal
import threading
from functools import partial

import numpy as np
import pytest
from threads import ending, together, until

from kcore import ops
from kcore.graph import Function, Variable, placeholder, scan

N = 100_000  # enough that a run without a lock is caught halfway
STEPS = 100


def filled(value):
    return Variable(np.full(N, value, "float32"))


def assert_one_value(*arrays):
    assert len({v for a in arrays for v in (a.min(), a.max())}) == 1


def test_many_threads_on_one_function():
    x = placeholder((None, 16))
    w = Variable(np.random.default_rng(0).standard_normal((16, 16)))
    f = Function([x], [ops.tanh(ops.matmul(ops.relu(ops.matmul(x, w)), w))])
    inputs = [np.random.default_rng(i).standard_normal((i % 5 + 1, 16)).astype("float32") for i in range(8)]
    want = [f([a])[0] for a in inputs]
    f = Function([x], f.outputs)  # compiled while the threads run

    def work(i):
        for _ in range(50):
            np.testing.assert_array_equal(f([inputs[i]])[0], want[i])

    together(*(partial(work, i) for i in range(8)))


def test_a_run_sees_variables_as_of_a_whole_step():
    a, b = filled(0), filled(0)
    step = Function([], [], [(a, a + 1.0), (b, b + 1.0)])
    read = Function([], [a * 1.0, b * 1.0])
    done = threading.Event()
    together(
        ending(done, lambda: [step([]) for _ in range(STEPS)]),
        *[until(done, lambda: assert_one_value(*read([])))] * 2,
        until(done, lambda: assert_one_value(a.numpy())),
    )
    assert_one_value(a.numpy(), b.numpy(), np.array(STEPS))


def test_writes_wait_for_runs_and_runs_for_writes():
    a = filled(0)
    read = Function([], [a * 1.0])
    done = threading.Event()
    together(
        ending(done, lambda: [a.write(np.full(N, i)) for i in range(STEPS)]),
        *[until(done, lambda: assert_one_value(*read([])))] * 2,
        until(done, lambda: assert_one_value(a.numpy())),
    )


def test_steps_of_several_threads_are_all_counted():
    a = filled(0)
    step = Function([], [], [(a, a + 1.0)])
    together(*[lambda: [step([]) for _ in range(STEPS)]] * 3)
    assert_one_value(a.numpy(), np.array(3 * STEPS))


def test_runs_that_read_what_others_write_do_not_wait_for_each_other():
    a, b = filled(1), filled(1)
    steps = [
        Function([], [], [(a, b * 1.0)]),
        Function([], [], [(b, a * 1.0)]),
        Function([], [], [(a, b * 1.0), (b, a * 1.0)]),
        Function([], [a + b]),
    ]
    together(*(lambda f=f: [f([]) for _ in range(STEPS)] for f in steps))
    assert_one_value(a.numpy(), b.numpy(), np.array(1))


def test_a_loop_reads_a_variable():
    """Within a run of the loop, those of its body wait for nobody."""
    w, x = filled(0), placeholder((3, 1))
    step = Function([], [], [(w, w + 1.0)])
    _, states = scan(lambda xs, hs: ([], [hs[0] + w + 0.0 * xs[0]]), [x], [w * 0.0])
    loop = Function([x], states)
    zeros = np.zeros((3, 1), "float32")
    done = threading.Event()
    together(
        ending(done, lambda: [step([]) for _ in range(STEPS)]),
        until(done, lambda: assert_one_value(*loop([zeros]))),
    )
    assert_one_value(*loop([zeros]), np.array(3 * STEPS))


def test_a_brief_run_that_waits_lets_a_long_one_end():
    """The long one asks for signals now and then, for which it needs the lock that a brief one keeps."""
    w, few = Variable(np.full((300, 300), 1e-3, "float32")), Variable(np.zeros(3, "float32"))
    y = w * 1.0
    for _ in range(100):
        y = ops.tanh(ops.matmul(y, w))
    long = Function([], [ops.sum(y) * 0.0 + few])
    brief = Function([], [few], [(few, few + 1.0)])
    done = threading.Event()
    together(
        ending(done, lambda: [assert_one_value(*long([])) for _ in range(5)]),
        *[until(done, lambda: assert_one_value(*brief([])))] * 2,
        until(done, lambda: assert_one_value(few.numpy())),
    )


def long_run(n=700):
    """A function that takes a while, of a variable."""
    w = Variable(np.full((n, n), 1e-3, "float32"))
    y = w
    for _ in range(200):
        y = ops.tanh(ops.matmul(y, w))
    f = Function([], [y])
    f.compiled([])
    return f, w


def test_a_signal_handler_may_change_what_the_interrupted_run_reads():
    f, w = long_run()
    called = []

    def handler(*_):
        w.write(w.numpy() * 0)
        called.append(True)

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        f([])
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert called
    assert not w.numpy().any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_computes():
    x = placeholder((512, 512))
    f = Function([x], [ops.matmul(x, x)])
    a = np.random.default_rng(0).standard_normal((512, 512)).astype("float32")
    want = f([a])[0]
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if np.array_equal(f([a])[0], want) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_beside_runs_writes_what_they_read():
    f, w = long_run()
    step = Function([], [], [(w, w + 1.0)])
    step([])
    done = threading.Event()

    def fork():
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                w.write(np.zeros(w.shape))
                step([])
                os._exit(0 if (w.numpy() == 1).all() else 1)
            assert os.waitpid(child, 0)[1] == 0

    together(ending(done, fork), until(done, lambda: f([])), until(done, lambda: step([])))
