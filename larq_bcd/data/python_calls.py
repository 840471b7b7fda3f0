"""Python that TensorFlow's pipelines call, and the end of the process.

A thread of a pipeline that wants Python while the interpreter shuts down never gets it, and
who deletes the pipeline waits for the thread: the process would hang. So at exit the pipelines
are given no more examples, and the calls under way a moment to end.
"""

import atexit
import functools
import threading
import time
from collections.abc import Callable, Iterator

_QUIET = 0.2
_PATIENCE = 10.0  # both in seconds

_ending = threading.Event()
_last_call = -_QUIET


def called(function: Callable) -> Callable:
    """Wraps a function that a pipeline calls."""

    @functools.wraps(function)
    def call(*arguments):
        global _last_call
        _last_call = time.monotonic()
        return function(*arguments)

    return call


def generating(generator: Callable[[], Iterator]) -> Callable[[], Iterator]:
    """Wraps a generator function that a pipeline reads."""

    @functools.wraps(generator)
    def generate():
        for item in generator():
            if _ending.is_set():
                return
            yield item

    return generate


@atexit.register
def _end() -> None:
    _ending.set()
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < min(give_up, _last_call + _QUIET):
        time.sleep(_QUIET / 4)
