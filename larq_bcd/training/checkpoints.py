"""Checkpoints that are whole or not there.

A checkpoint is a folder `step-000001234` of TensorFlow's checkpoint files, `state.json` and
`sha256.json`.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from larq_bcd._files import TEMPORARY, FileError, replacing

_PREFIX = "step-"
_VARIABLES, _STATE, _SUMS = "variables", "state.json", "sha256.json"
_CHUNK = 1 << 20


class CheckpointError(FileError):
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

        Raises:
            CheckpointError: if the disk is full or cannot be written to.
        """
        if not self._writes:
            # Reading the variables of several processes is a work of all of them.
            with tempfile.TemporaryDirectory() as folder:
                variables.write(os.path.join(folder, _VARIABLES))
            return
        for left in self.folder.glob(f"{TEMPORARY}*"):  # by a process that was killed
            shutil.rmtree(left)
        try:
            with replacing(self.folder / f"{_PREFIX}{step:09d}") as temporary:
                temporary.mkdir()
                variables.write(str(temporary / _VARIABLES))
                (temporary / _STATE).write_text(json.dumps(state))
                sums = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
                (temporary / _SUMS).write_text(json.dumps(sums))
        except (FileError, tf.errors.OpError) as error:
            raise CheckpointError(self._why_not(step, error.__cause__ or error)) from error
        for path in self._paths()[self._keep :]:
            shutil.rmtree(path, ignore_errors=True)

    def _why_not(self, step: int, error: BaseException) -> str:
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
