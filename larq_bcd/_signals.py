"""What SIGINT and SIGTERM do to a command."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class SignalError(BaseException):
    """SIGINT or SIGTERM."""


class Signals:
    """SIGINT and SIGTERM: raised, or only noted, so that a piece of work is ended first.

    They are noted even where they are raised, because foreign code may make another error of
    what was raised in it, as an import that is interrupted does, or lose it, as Python does in
    the callback of a weak reference.

    Attributes:
        received: number of the first signal, if there was one.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._are_heeded = True

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """In the block, they raise a `SignalError`."""

        def handle(number: int, _frame: object) -> None:
            if self._are_heeded:
                self.received = self.received or number
                raise SignalError

        numbers = [signal.SIGTERM]
        # A shell has what it starts in the background ignore it.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            numbers.append(signal.SIGINT)
        with _handled(numbers, handle):
            yield

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """In the block, the first is noted; a second SIGINT raises KeyboardInterrupt."""

        def handle(number: int, _frame: object) -> None:
            self.received = self.received or number
            signal.signal(signal.SIGINT, signal.default_int_handler)

        with _handled([signal.SIGTERM, signal.SIGINT], handle):
            yield

    def raise_received(self) -> None:
        """Raises again, should the error have been lost."""
        if self.received is not None:
            raise SignalError

    def heed_no_more(self) -> None:
        """Lets what is left, which takes no time, be done whole."""
        self.raise_received()
        self._are_heeded = False


@contextlib.contextmanager
def _handled(numbers: list[signal.Signals], handle: Callable) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # which has no signals
        return
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
