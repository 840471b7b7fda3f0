"""What native libraries write to file descriptor 2, which no Python setting reaches."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# Information that TensorFlow prints before its logging obeys any setting.
_CHATTER = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\)|I\d{4} |\d{4}-\d\d-\d\d .*: I |"
    r"To enable the following instructions|.*Unable to register cu"
)


# What file descriptor 2 was before each capture that has not ended, the outermost first.
_before: list[int] = []


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collects the lines written to file descriptor 2, by native code too.

    Yields:
        A list that holds the lines once the block has ended, however it ended.
    """
    lines: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        _before.append(saved)
        try:
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            _before.remove(saved)
            os.close(saved)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def release_stderr() -> None:
    """Ends what an interrupt in the midst of its beginning or end has left captured."""
    if _before:
        os.dup2(_before[0], 2)


@contextlib.contextmanager
def without_startup_chatter() -> Iterator[None]:
    """Passes on what the block writes to stderr, less TensorFlow's notes about itself."""
    try:
        with captured_stderr() as lines:
            yield
    finally:
        for line in lines:
            if not _CHATTER.match(line):
                print(line, file=sys.stderr)
