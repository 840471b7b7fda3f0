"""Writes a file whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from larq_bcd.convert.errors import ConversionError


def check_writable(path: Path, force: bool) -> None:
    """Says before the work begins that its result could not be written.

    Args:
        path: the file to be written.
        force: whether it may replace a file.

    Raises:
        ConversionError: if the folder is missing or cannot be written to, or if `path` is a
            folder, or exists and `force` is not given.
    """
    if path.is_dir():
        raise ConversionError(f"{path} is a folder: name a file in it.")
    if path.exists() and not force:
        raise ConversionError(f"{path} exists: choose another name, or --force to replace it.")
    if not path.parent.is_dir():
        raise ConversionError(f"the folder {path.parent} does not exist: create it first.")
    try:
        # Permissions alone do not tell: a file system may be read-only.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConversionError(
            f"the folder {path.parent} cannot be written to ({error.strerror}): choose another."
        ) from error


def write_atomically(path: Path, content: bytes, force: bool) -> None:
    """Writes a file so that its name never stands for half of it.

    Whatever ends the writing, an interrupt included, leaves no temporary file.

    Args:
        path: the file.
        content: all of it.
        force: whether to replace a file.

    Raises:
        ConversionError: if the file exists and `force` is not given, or the disk refuses it.
    """
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        if path.exists() and not force:
            raise ConversionError(f"{path} has appeared: choose another name, or --force.")
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise ConversionError(
            f"{path} cannot be written ({error.strerror}): free some space or choose another "
            "folder."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
