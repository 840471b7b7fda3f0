"""Files and folders that are whole or not there."""

import contextlib
import errno
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from larq_bcd.errors import UserError

TEMPORARY = ".writing-"  # begins the name of what is not whole yet


class FileError(UserError):
    """A file cannot be written; the message says what to do."""


def check_writable(path: Path, force: bool) -> None:
    """Says before the work begins that its result could not be written.

    Raises:
        FileError: if the folder is missing or cannot be written to, or if `path` is a folder,
            or exists and `force` is not given.
    """
    if path.is_dir():
        raise FileError(f"{path} is a folder: name a file in it.")
    if path.exists() and not force:
        raise FileError(f"{path} exists: choose another name, or --force to replace it.")
    if not path.parent.is_dir():
        raise FileError(f"the folder {path.parent} does not exist: create it first.")
    try:
        # Permissions alone do not tell: a file system may be read-only.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise FileError(
            f"the folder {path.parent} cannot be written to ({error.strerror}): choose another."
        ) from error


@contextlib.contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """Yields a name to write to, which becomes `path` when the block has ended well.

    Whatever else ends the block, an interrupt included, leaves `path` as it was and nothing
    beside it. The folder that it is in is made if there is none.

    Args:
        path: the file, or a folder of files, as which the block makes it. The other name has
            the same suffix, by which Keras knows the format.
        size: bytes that it will take at least, for h5py: on a disk that fills up while it
            writes, it leaves a process that crashes at its end.

    Raises:
        FileError: if the disk is full or cannot be written to.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    full = os.strerror(errno.ENOSPC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, full)
        yield temporary
        is_folder = temporary.is_dir()
        for written in (*temporary.glob("*"), temporary):
            _flush(written)
        if is_folder and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
        if is_folder:
            _flush(path.parent)
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            temporary.unlink()
        # h5py has errors of its own for a disk that fills up on the way.
        if isinstance(error, OSError) or (
            isinstance(error, RuntimeError) and full in str(error)
        ):
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            remedy = "see to it"
            if full in str(error):
                reason, remedy = full, "make room"
            raise FileError(
                f"{path} could not be written ({reason}): {remedy}, and start the same command "
                "again."
            ) from error
        raise


def write_atomically(path: Path, content: bytes, force: bool) -> None:
    """Writes a file so that its name never stands for half of it.

    Args:
        path: the file.
        content: all of it.
        force: whether to replace a file.

    Raises:
        FileError: if the file exists and `force` is not given, or the disk refuses it.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        if path.exists() and not force:
            raise FileError(f"{path} has appeared: choose another name, or --force.")


def as_json(content: object) -> str:
    """Plain data as JSON, in which a number that is not finite is a text, such as "inf".

    JSON has no such numbers; `float` reads the text in Python.
    """
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    return content


def write_json(path: Path, content: dict) -> None:
    """Writes plain data, as `as_json` has it, in place of what the file had.

    Raises:
        FileError: if the disk is full or cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_text(as_json(content))


def _flush(path: Path) -> None:
    """Has the disk, and not the cache of the system alone, hold a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
