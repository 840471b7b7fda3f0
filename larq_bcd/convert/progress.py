"""The steps of a conversion, and the time that each takes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Takes note of the steps of a conversion; this one keeps the time and shows nothing."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Surrounds a step; yields what the step calls with the parts done and all parts."""
        start = time.monotonic()
        try:
            yield self.advance
        finally:
            self.seconds[name] = round(time.monotonic() - start, 2)

    def advance(self, done: int, total: int) -> None:
        """Called by a step with how much of it is done."""
