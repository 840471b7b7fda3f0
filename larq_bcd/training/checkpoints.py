"""Checkpoints that are whole or not there.

A checkpoint is a folder `step-000001234` of TensorFlow's checkpoint files, `state.json` and
`sha256.json`. It is written under another name, flushed to the disk, and renamed.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from larq_bcd.errors import UserError

_PREFIX, _TEMPORARY = "step-", ".writing-"
_VARIABLES, _STATE, _SUMS = "variables", "state.json", "sha256.json"
_CHUNK = 1 << 20


class CheckpointError(UserError):
    """A checkpoint cannot be written; the message says what to do."""


class Checkpoints:
    """The checkpoints of a run, the last few of which are kept.

    Args:
        folder: where they lie.
        keep: number of those that are kept.
        writes: whether this process writes them; in a training of several processes one
            does, but all have to call `save`.
        report: takes a sentence for the user.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 3,
        writes: bool = True,
        report: Callable[[str], None] = print,
    ):
        self.folder = folder
        self._keep = keep
        self._writes = writes
        self._report = report

    def save(self, step: int, variables: tf.train.Checkpoint, state: dict) -> None:
        """Writes a checkpoint, and then deletes the oldest.

        Args:
            step: its number, which grows.
            variables: what has to be kept.
            state: what else, as JSON.

        Raises:
            CheckpointError: if the disk is full or cannot be written to.
        """
        if not self._writes:
            # Reading the variables of several processes is a work of all of them.
            with tempfile.TemporaryDirectory() as folder:
                variables.write(os.path.join(folder, _VARIABLES))
            return
        target = self.folder / f"{_PREFIX}{step:09d}"
        temporary = self.folder / f"{_TEMPORARY}{step:09d}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            variables.write(str(temporary / _VARIABLES))
            (temporary / _STATE).write_text(json.dumps(state))
            sums = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
            (temporary / _SUMS).write_text(json.dumps(sums))
            for path in temporary.iterdir():
                _flush(path)
            _flush(temporary)
            if target.exists():  # a broken one of a run before
                shutil.rmtree(target)
            os.replace(temporary, target)
            _flush(self.folder)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise CheckpointError(self._why_not(step, error)) from error
        for path in self._paths()[self._keep :]:
            shutil.rmtree(path, ignore_errors=True)

    def _why_not(self, step: int, error: Exception) -> str:
        reason = str(error).splitlines()[0]
        full = isinstance(error, tf.errors.ResourceExhaustedError) or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        )
        remedy = "make room" if full else "see to it"
        kept = self._paths()
        resumes = f"step {_step(kept[0])}" if kept else "its start"
        return (
            f"the checkpoint of step {step} could not be written to {self.folder} ({reason}): "
            f"{remedy}, and start the same command again, which goes on from {resumes}."
        )

    def valid(self) -> Iterator[tuple[int, str, dict]]:
        """Yields step, prefix of TensorFlow's files and state of each whole checkpoint.

        The newest comes first. One that is damaged is reported, and passed over.
        """
        for path in self._paths():
            problem = _problem(path)
            if problem:
                self._report(f"{path} is damaged ({problem}); the one before is used instead.")
                continue
            state = json.loads((path / _STATE).read_text())
            yield _step(path), str(path / _VARIABLES), state

    def _paths(self) -> list[Path]:
        """The checkpoints, the newest first."""
        return sorted(self.folder.glob(f"{_PREFIX}*"), reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _problem(path: Path) -> str | None:
    """What is wrong with a checkpoint, if anything."""
    try:
        sums = json.loads((path / _SUMS).read_text())
        for name, expected in sums.items():
            if _sha256(path / name) != expected:
                return f"{name} is not as it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _flush(path: Path) -> None:
    """Has the disk, and not the cache of the system alone, hold a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """Yields a name to write to, which becomes `path` when the block has ended well.

    Args:
        path: the file.
        size: bytes that it will take at least, for h5py: on a disk that fills up while it
            writes, it leaves a process that crashes at its end.

    Raises:
        CheckpointError: if the disk is full or cannot be written to.
    """
    # With the same suffix, by which Keras knows the format.
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    full = os.strerror(errno.ENOSPC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, full)
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException as error:
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
            raise CheckpointError(
                f"{path} could not be written ({reason}): {remedy}, and start the same command "
                "again."
            ) from error
        raise
