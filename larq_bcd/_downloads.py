"""Files that Keras fetches."""

import contextlib
import io
import sys
from collections.abc import Iterator


class DownloadError(Exception):
    """A file cannot be fetched; the message says why."""


@contextlib.contextmanager
def downloads() -> Iterator[None]:
    """Makes a `DownloadError` of what Keras raises where it cannot fetch a file.

    That is an `Exception` of no class of its own, or what a connection that breaks raises. Any
    other error passes: it is not of the connection. Keras's bar is for terminals: in a file it
    would be a line each twentieth of a second.
    """
    stdout = sys.stdout if sys.stdout.isatty() else io.StringIO()
    try:
        with contextlib.redirect_stdout(stdout):
            yield
    except (ConnectionError, TimeoutError) as error:
        raise DownloadError(str(error)) from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise DownloadError(str(error).splitlines()[0]) from error
