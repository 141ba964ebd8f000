"""Runs functions at the same time, each in a thread of its own."""

import threading

SECONDS = 120  # then it hangs


def together(*works):
    """Call all of them at once. Raises what the first to fail raised."""
    errors = []

    def attempt(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "threads wait for each other"


def until(done, work):
    """``work`` again and again, at least once, until the event is set."""

    def repeat():
        work()
        while not done.is_set():
            work()

    return repeat


def ending(done, work):
    """``work`` once; then, or if it fails, the event is set."""

    def attempt():
        try:
            work()
        finally:
            done.set()

    return attempt
