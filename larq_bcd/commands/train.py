"""Trains a network by a recipe; a training that was stopped or killed goes on."""

import argparse
import signal
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from larq_bcd._signals import Signals
from larq_bcd.errors import UserError
from larq_bcd.training import generated, preview
from larq_bcd.training.progress import Progress
from larq_bcd.training.recipe_file import read_recipe, write_recipe
from larq_bcd.training.recorder import StoppedError
from larq_bcd.training.run import Training
from larq_bcd.training.strategies import Placement, choose_placement

# What a process sees when another one, or the way to it, is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    # Unbroken lines: a path in them can be copied.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    recipe = read_recipe(arguments.recipe, arguments.settings)
    output = arguments.output or default_output(arguments.recipe, recipe.smoke)
    # First of all: a strategy of several processes has to be there before any operation.
    placement = choose_placement(arguments.strategy)
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(recipe.seed)
    if recipe.smoke:
        console.print("A smoke run: its accuracy says nothing.")
        recipe = generated.in_place_of_missing(recipe, output, console.print)
    stop = Signals()
    with stop.noted():
        try:
            training = Training(recipe, output, placement, stop, console.print, _load)
            if arguments.dry_run:
                _preview(training, console)
                return 0
            progress = training.run()
        except StoppedError as stopped:
            console.print(
                f"\nStopped. The same command goes on from here; all of it is in {output}."
            )
            return 128 + stopped.signal
        except KeyboardInterrupt:
            console.print(
                "\nStopped at once. The same command goes on from the last checkpoint in "
                f"{output}."
            )
            return 128 + signal.SIGINT
        except _LOST as error:
            if placement.workers == 1:
                raise
            raise UserError(
                "another worker is gone, or cannot be reached any more: start all workers "
                "again with the same command, and the training goes on from the last "
                "checkpoint."
            ) from error
    if placement.is_chief:
        _show(progress, output, placement, console)
    return 0


def default_output(path: str, smoke: bool) -> Path:
    """Returns the folder of a run by the file that says what to do, or by its folder."""
    file = Path(path).absolute()
    name = file.parent.name if file.name in ("recipe.yaml", "study.yaml") else file.stem
    return Path("runs") / (f"{name}-smoke" if smoke else name)


def _load(source: str) -> tf.keras.Model:
    # Only for a teacher of a file: it imports what converts.
    from larq_bcd.convert.load import load_model

    return load_model(source).model


def _preview(training: Training, console: Console) -> None:
    console.print(write_recipe(training.recipe))
    training.check_teacher()
    for line in preview.described(training):
        console.print(line)
    path = training.output / "first_batch.png"
    count = preview.write_first_batch(training, path)
    console.print(f"{path}: {count} augmented images of the first batch; nothing is trained.")


def _show(progress: Progress, output: Path, placement: Placement, console: Console) -> None:
    for stage in progress.stages:
        last, best = stage.epochs[-1], stage.best()
        line = f"{stage.name}: {stage.step} steps, loss {last['loss']:.3f}"
        if best is not None:
            line += (
                f", validation accuracy {last['val_accuracy']:.2%}, best "
                f"{best['val_accuracy']:.2%} in epoch {best['epoch']}"
            )
        console.print(line)
    console.print(f"{output}/model.keras is the trained network, curves.png its curves; next:")
    console.print(f"  lce_convert {output}/model.keras -o {output}/model.tflite")
