"""Batches made ahead of time by worker threads or processes."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
import types
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_POLL_SECONDS = 0.2


class Sequence:
    """A data set that gives whole batches by index: subclass it, write ``__getitem__`` and ``__len__``.

    ``seq[i]`` is batch ``i``: ``inputs``, ``(inputs, targets)`` or ``(inputs, targets, sample_weights)``.
    ``on_epoch_end`` may change the data between epochs.

    Args:
        workers, use_multiprocessing, max_queue_size: how ``fit`` loads it: by how many workers, whether
            these are processes, and how many batches ahead. By default as ``fit`` was told.
    """

    workers: int | None = None
    use_multiprocessing: bool | None = None
    max_queue_size: int | None = None

    def __init__(
        self,
        workers: int | None = None,
        use_multiprocessing: bool | None = None,
        max_queue_size: int | None = None,
    ):
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int):
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index).")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__(self), the number of batches.")

    @property
    def num_batches(self) -> int:
        return len(self)

    def on_epoch_end(self) -> None:
        """Called when each batch has been given once."""

    def __iter__(self) -> Iterator:
        for index in range(len(self)):
            yield self[index]


PyDataset = Sequence


class SequenceEnqueuer(ABC):
    """Makes items in the background: ``start()``, iterate over ``get()``, then ``stop()``."""

    def __init__(self, sequence, use_multiprocessing: bool = False):
        self.sequence = sequence
        self.use_multiprocessing = use_multiprocessing
        self._running = False

    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._running

    def start(self, workers: int = 1, max_queue_size: int = 10) -> None:
        """Starts the workers; they stay at most ``max_queue_size`` items ahead."""
        if self._running:
            raise RuntimeError("The enqueuer is running already.")
        self._workers = max(1, workers)
        self._ahead = max(1, max_queue_size)
        self._running = True
        self._start_workers()

    def stop(self, timeout: float | None = None) -> None:
        """Ends the workers, waiting for those in the middle of an item for up to ``timeout`` seconds."""
        if self._running:
            self._running = False
            self._stop_workers(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def __del__(self):
        if getattr(self, "_running", False):
            self.stop(timeout=0)

    @abstractmethod
    def _start_workers(self) -> None: ...

    @abstractmethod
    def _stop_workers(self, timeout: float | None) -> None: ...

    @abstractmethod
    def get(self) -> Iterator: ...


def _leave_interrupts_to_the_parent() -> None:
    # Ctrl-C reaches every process of the terminal's group; the one that trains ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# In a worker process: the sequence it serves, set once when the process starts.
_worker_sequence: Any = None


def _set_worker_sequence(sequence) -> None:
    global _worker_sequence
    _worker_sequence = sequence
    _leave_interrupts_to_the_parent()


def _get_worker_item(index: int):
    return _worker_sequence[index]


class OrderedEnqueuer(SequenceEnqueuer):
    """The batches of a :class:`Sequence`, in order, pass after pass, each computed by one of several workers.

    Args:
        sequence: has ``__getitem__``, ``__len__`` and optionally ``on_epoch_end``.
        use_multiprocessing: processes instead of threads.
        shuffle: a new order of the batches on every pass.
        seed: of that order.
    """

    def __init__(
        self, sequence, use_multiprocessing: bool = False, shuffle: bool = False, seed: int | None = None
    ):
        super().__init__(sequence, use_multiprocessing)
        self.shuffle = shuffle
        self._random = np.random.default_rng(seed)
        self._executor: Executor | None = None
        self._pending: deque[Future] = deque()
        self._order: deque[int] = deque()
        self._pass_is_over = False

    def _start_workers(self) -> None:
        self._begin_pass()

    def _make_executor(self) -> Executor:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

        if not self.use_multiprocessing:
            return ThreadPoolExecutor(self._workers, thread_name_prefix="kcore-sequence")
        # Workers that are forked have the sequence as it is, and ignore Ctrl-C from their first moment on; from a
        # server of forks, Python's own choice since 3.14, it would have to be pickled, and Ctrl-C ends that server.
        context = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(self._workers, context, _set_worker_sequence, (self.sequence,))

    def _begin_pass(self) -> None:
        # Worker processes copied the sequence as it was before on_epoch_end(), so each pass has its own.
        if self._executor is not None and self.use_multiprocessing:
            self._executor.shutdown(wait=False)
            self._executor = None
        if self._executor is None:
            self._executor = self._make_executor()
        count = len(self.sequence)
        if count == 0:
            raise ValueError(f"{type(self.sequence).__name__} is empty: its length is 0.")
        self._order.extend(self._random.permutation(count).tolist() if self.shuffle else range(count))
        self._pass_is_over = False
        self._submit()

    def _submit(self) -> None:
        assert self._executor is not None
        while self._order and len(self._pending) < self._ahead:
            index = self._order.popleft()
            if self.use_multiprocessing:
                self._pending.append(self._executor.submit(_get_worker_item, index))
            else:
                self._pending.append(self._executor.submit(self.sequence.__getitem__, index))

    def join_end_of_epoch(self) -> None:
        """If a pass is complete, tells the sequence (``on_epoch_end``), not waiting for the next request."""
        if self._pass_is_over:
            self._pass_is_over = False
            if hasattr(self.sequence, "on_epoch_end"):
                self.sequence.on_epoch_end()

    def get(self) -> Iterator:
        """An endless iterator. An error in a worker is raised here, at the item where it happened."""
        while self._running:
            if not self._pending:
                self.join_end_of_epoch()
                self._begin_pass()
            future = self._pending.popleft()
            try:
                item = future.result()
            except BaseException:
                self.stop(timeout=0)
                raise
            self._submit()
            self._pass_is_over = not self._pending
            yield item

    def _stop_workers(self, timeout: float | None) -> None:
        for future in self._pending:
            future.cancel()
        self._pending.clear()
        self._order.clear()
        if self._executor is not None:
            self._executor.shutdown(wait=timeout != 0, cancel_futures=True)
            self._executor = None


class _Failure:
    """An exception on its way from a worker to the consumer."""

    def __init__(self, error: BaseException):
        self.error = error


_END = "end of the generator"


def _produce(iterator, lock, put, is_stopped) -> None:
    """A worker's life: items, then an end or a failure. ``put`` returns False once nobody listens."""
    while not is_stopped():
        with lock:
            if is_stopped():
                return
            try:
                message = (True, next(iterator))
            except StopIteration:
                message = (False, _END)
            except BaseException as error:
                message = (False, _Failure(error))
            # Put under the lock, so that items keep the generator's order.
            if not put(message) or not message[0]:
                return


class _NoLock:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class GeneratorEnqueuer(SequenceEnqueuer):
    """The items of a generator or iterator, made ahead of time.

    With threads, a generator's items come in its order (generators can't run on two threads at once; other
    iterators are called from all workers concurrently). With processes, each worker has its own copy of the
    generator and all copies' items come interleaved, so they repeat unless the generator draws from
    ``np.random``, which is seeded anew in each.
    """

    def __init__(
        self,
        sequence,
        use_multiprocessing: bool = False,
        wait_time: float | None = None,
        random_seed: int | None = None,
    ):
        super().__init__(sequence, use_multiprocessing)
        self.random_seed = random_seed

    def _start_workers(self) -> None:
        self._stopped: Any
        self._queue: Any
        if self.use_multiprocessing:
            import multiprocessing

            context = multiprocessing.get_context("fork")  # a generator can't be pickled
            self._stopped = context.Event()
            self._queue = context.Queue(self._ahead)
            seed = self.random_seed
            self._threads: list[Any] = [
                context.Process(
                    target=self._process_worker, args=(None if seed is None else seed + i,), daemon=True
                )
                for i in range(self._workers)
            ]
        else:
            self._stopped = threading.Event()
            self._queue = queue.Queue(self._ahead)
            is_generator = isinstance(self.sequence, types.GeneratorType)
            lock = threading.Lock() if is_generator or self._workers == 1 else _NoLock()
            self._threads = [
                threading.Thread(
                    target=_produce,
                    args=(self.sequence, lock, self._put, self._stopped.is_set),
                    name="kcore-generator",
                    daemon=True,
                )
                for _ in range(self._workers)
            ]
        for thread in self._threads:
            thread.start()

    def _process_worker(self, seed: int | None) -> None:
        _leave_interrupts_to_the_parent()
        np.random.seed(seed if seed is not None else int.from_bytes(os.urandom(4), "little"))
        _produce(self.sequence, _NoLock(), self._put, self._stopped.is_set)
        self._queue.close()

    def _put(self, message) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(message, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def get(self) -> Iterator:
        """Ends when all workers have come to the end; raises what one of them raised."""
        at_work = len(self._threads)
        while self._running and at_work:
            try:
                is_item, value = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if not any(thread.is_alive() for thread in self._threads) and self._queue.empty():
                    self.stop()
                    raise RuntimeError(
                        "A worker process of the generator died without an error message."
                    ) from None
                continue
            if is_item:
                yield value
            elif isinstance(value, _Failure):
                self.stop()
                raise value.error
            else:
                at_work -= 1
        self.stop()

    def _stop_workers(self, timeout: float | None) -> None:
        self._stopped.set()
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            if self.use_multiprocessing:
                thread.join(1.0 if timeout is None else min(timeout, 1.0))
                if thread.is_alive():
                    thread.terminate()
            elif thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if self.use_multiprocessing:
            self._queue.cancel_join_thread()
            self._queue.close()
