"""Trains the variants of a study with every seed, and says what they come to."""

import argparse
import signal
from collections.abc import Sequence

import rich.box
import rich.table
from rich.console import Console

from larq_bcd._signals import Signals
from larq_bcd.commands.train import default_output
from larq_bcd.training.recorder import StoppedError
from larq_bcd.training.studies import StudyFolder, comparison, read_study, report, trainings

_WIDTH = 140


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    # Unbroken lines: a path in them can be copied.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    study, recipes = read_study(arguments.study, arguments.settings)
    smoke = any(recipe.smoke for recipe in recipes.values())
    output = arguments.output or default_output(arguments.study, smoke)
    folder = StudyFolder(output, study, recipes)
    folder.check()
    if arguments.dry_run:
        _list(folder, console)
        return 0

    def write() -> None:
        report.write(folder, arguments.study, arguments.settings)

    if smoke:
        console.print("A smoke run: its accuracies say nothing.")
    stop = Signals()
    with stop.noted():
        try:
            failed = trainings.train_all(folder, stop, console.print, write)
        except (StoppedError, KeyboardInterrupt) as stopped:
            number = getattr(stopped, "signal", signal.SIGINT)
            console.print(
                f"\nStopped. The same command goes on from here; all of it is in {output}."
            )
            return 128 + number
    if folder.results():
        write()
        _show(folder, console)
    for training, reason in failed.items():
        console.print(f"{training.variant}, seed {training.seed}, failed: {reason}.")
    if failed:
        console.print("The same command tries again what failed.")
    return 1 if failed else 0


def _list(folder: StudyFolder, console: Console) -> None:
    """Prints the trainings, and what is left of them."""
    done = folder.results()
    lines = [("variant", "seed", "")]
    for each in folder.runs:
        if each in done:
            state = f"done, {done[each].accuracy:.2%}"
        else:
            state = f"begun, {each.step} steps" if each.step else "to do"
        lines.append((each.variant, str(each.seed), state))
    _print(lines)
    seconds = folder.seconds_left()
    about = "" if not seconds else f", about {trainings.in_words(seconds)}"
    console.print(f"{len(folder.runs) - len(done)} of {len(folder.runs)} left{about}.")


def _show(folder: StudyFolder, console: Console) -> None:
    if folder.study.claims:
        _print(comparison.claims(folder))
    _print(comparison.table(folder))
    console.print(f"{folder.path}/{report.PAGE} is the page of it.")


def _print(lines: Sequence[tuple[str, ...]]) -> None:
    table = rich.table.Table(box=rich.box.SIMPLE)
    for name in lines[0]:
        table.add_column(name)
    for line in lines[1:]:
        table.add_row(*line)
    # The same in every terminal, and in a file.
    Console(width=_WIDTH).print(table)
