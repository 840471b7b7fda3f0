"""The trainings of a study, one after the other, each in a process of its own."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable

from larq_bcd._signals import Signals
from larq_bcd.training.data import open_data
from larq_bcd.training.recorder import StoppedError
from larq_bcd.training.studies.folder import Run, StudyFolder

# What trains by a recipe.
TRAIN = (sys.executable, "-m", "larq_bcd.commands", "train")
_STOPS = (signal.SIGINT, signal.SIGTERM)
# Seconds after which a signal to this process reaches the training at the latest.
_PATIENCE = 0.5


def train_all(
    folder: StudyFolder,
    signals: Signals,
    report: Callable[[str], None],
    after_each: Callable[[], None],
) -> dict[Run, str]:
    """Makes the trainings that are left.

    One that fails is passed over.

    Args:
        folder: of the study.
        signals: what asks to stop.
        report: takes sentences for the user.
        after_each: called after each that is done.

    Returns:
        Why some have failed.

    Raises:
        StoppedError: if a signal asked for it; the training has written a checkpoint.
        UserError: if the folder is in use, or the data are not there.
    """
    failed: dict[Run, str] = {}
    with folder.claimed() as lock:
        done = folder.results()
        left = [run for run in folder.runs if run not in done]
        # What all of them would fail by is said at once. A smoke run may do without data.
        recipes = [folder.recipes[run.variant] for run in left]
        for data in dict.fromkeys(recipe.data for recipe in recipes if not recipe.smoke):
            open_data(data)
        for index, run in enumerate(left):
            report(_announced(folder, run, len(done) + index + 1, len(left) - index))
            if reason := _train(run, signals, lock):
                failed[run] = reason
                report(f"{run.variant}, seed {run.seed}, failed: {reason}.")
            else:
                after_each()
    return failed


def in_words(seconds: float) -> str:
    """Returns a length of time, to the minute."""
    hours, minutes = divmod(max(round(seconds / 60), 1), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _announced(folder: StudyFolder, run: Run, number: int, left: int) -> str:
    begun = f", from step {run.step}" if run.step else ""
    seconds = folder.seconds_left()
    about = "" if seconds is None else f", about {in_words(seconds)}"
    return (
        f"\nTraining {number} of {len(folder.runs)}: {run.variant}, seed {run.seed}{begun}; "
        f"{left} left{about}."
    )


def _train(run: Run, signals: Signals, lock: int) -> str | None:
    """Makes a training, and returns why it failed if it did."""
    if signals.received is not None:
        raise StoppedError(signals.received)
    # No word of it is taken for a setting: they are absolute paths.
    words = (run.folder.parent.absolute(), f"seed={run.seed}", "--output")
    process = subprocess.Popen(
        [*TRAIN, *map(str, words), str(run.folder.absolute())], pass_fds=(lock,)
    )
    try:
        status = _waited(process, signals)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if signals.received is not None:
        raise StoppedError(signals.received)
    # Whoever stops a training means the study.
    for number in _STOPS:
        if status in (128 + number, -number):
            raise StoppedError(number)
    if status < 0:
        return f"it was killed by {signal.Signals(-status).name}"
    return f"its exit status is {status}, and it said why above" if status else None


def _waited(process: subprocess.Popen, signals: Signals) -> int:
    """The exit status of a process, which is asked to end when this one is."""
    while signals.received is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_PATIENCE)
    process.terminate()
    return process.wait()
