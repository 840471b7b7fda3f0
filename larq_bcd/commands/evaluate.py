"""Evaluates a classifier, a Keras model or a .tflite file, on a split of a data set."""

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from larq_bcd._files import write_json
from larq_bcd._signals import Signals
from larq_bcd.commands.model_file import load
from larq_bcd.data.batches import evaluation_batches, open_source
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.data.sources import Source
from larq_bcd.data.splits import NoSplitError
from larq_bcd.errors import UserError
from larq_bcd.evaluation.accuracy import Evaluation, evaluate, plot_confusion
from larq_bcd.evaluation.classifiers import Classifier, FileClassifier, KerasClassifier
from larq_bcd.models import list_models
from larq_bcd.training.recipe_file import read_recipe


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    _check(arguments)
    classifier = _classifier(arguments)
    source, preprocessing = _data(arguments, classifier)
    result = evaluate_with_progress(classifier, source, preprocessing, arguments.batch_size)
    signals.heed_no_more()
    if arguments.json:
        write_json(arguments.json, _described(classifier, source, result))
    if arguments.confusion:
        plot_confusion(result, arguments.confusion)
    _show(classifier, source, result)
    return 0


def evaluate_with_progress(
    classifier: Classifier, source: Source, preprocessing: Preprocessing, batch_size: int
) -> Evaluation:
    """Evaluates with a bar on stderr."""
    console = Console(stderr=True)
    progress = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with source.user_errors(), progress as bar:
        task = bar.add_task("", total=source.num_examples)

        def advance(count: int) -> None:
            bar.advance(task, count)

        batches: Iterator[tuple[np.ndarray, np.ndarray]]
        batches = evaluation_batches(source, preprocessing, batch_size).as_numpy_iterator()
        return evaluate(classifier, batches, source.class_names, advance)


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.dataset is None) == (arguments.recipe is None):
        raise UserError("give either --dataset or --recipe.")


def _classifier(arguments: argparse.Namespace) -> Classifier:
    path = Path(arguments.model)
    if path.is_file() and path.suffix == ".tflite":
        return FileClassifier(path, arguments.threads)
    if not path.exists() and arguments.model not in list_models(pretrained=True):
        raise UserError(
            f"{path} does not exist: give a .keras or .h5 file, a SavedModel folder, a "
            ".tflite file, or a name that larq-bcd models --pretrained lists."
        )
    return KerasClassifier(str(path), load(str(path), arguments).model)


def _data(
    arguments: argparse.Namespace, classifier: Classifier
) -> tuple[Source, Preprocessing]:
    """Opens the split and settles the preprocessing, and says from where it is."""
    if arguments.recipe is not None:
        recipe = read_recipe(arguments.recipe)
        name, split, data_dir = recipe.data.name, recipe.data.validation, recipe.data.data_dir
        known = _by_recipe(classifier, recipe.preprocessing)
    else:
        name, split, data_dir = arguments.dataset, None, None
        known = classifier.description
    height, width, channels = classifier.input_shape
    encoding = "float32" if known.preprocessing is None else known.preprocessing.encoding
    if encoding != "float32" and (arguments.mean or arguments.std):
        raise UserError(
            f"{classifier.name} takes pixels as {encoding} and normalizes them itself: leave "
            "--mean and --std out."
        )
    known = known.with_preprocessing(
        classifier.input_shape, arguments.mean, arguments.std, arguments.resize
    )
    preprocessing = known.preprocessing
    if preprocessing is None:
        raise UserError(
            f"how images are prepared for {classifier.name} is not known: give the recipe of "
            "its training, or --mean and --std, and --resize if the center is cut out."
        )
    made = preprocessing.input_shape
    if made != classifier.input_shape:
        raise UserError(
            f"{classifier.name} takes images of {height}x{width} with {channels} channels, but "
            f"the preprocessing makes {made[0]}x{made[1]} with {made[2]}: give the recipe of "
            "its training."
        )
    source = _open(name, arguments.split or split, arguments.data_dir or data_dir)
    lines = known.lines()
    names = classifier.description.class_names
    if names is not None and names != source.class_names:
        reordered = sorted(names) == sorted(source.class_names)
        how = "have the model's in another order" if reordered else "call theirs otherwise"
        lines.append(
            f"classes: the data {how}, {', '.join(source.class_names[:3])}, ...; they are "
            "compared by their numbers"
        )
    for line in lines:
        Console(soft_wrap=True, markup=False, highlight=False).print(line)
    return source, preprocessing


def _by_recipe(classifier: Classifier, preprocessing: Preprocessing) -> Description:
    """What a recipe says in the place of the model, but for how the file takes pixels."""
    own = classifier.description.preprocessing
    origin = "of the recipe"
    if own is not None:
        preprocessing = replace(preprocessing, encoding=own.encoding)
        if own != preprocessing:
            origin += f"; {classifier.description.origin} is another: {own}"
    return replace(classifier.description, preprocessing=preprocessing, origin=origin)


def _open(name: str, split: str | None, data_dir: str | None) -> Source:
    if split is not None:
        return open_source(name, split, data_dir)
    for split in ("test", "validation"):
        with contextlib.suppress(NoSplitError):
            return open_source(name, split, data_dir)
    source = open_source(name, "train", data_dir)
    print(f"data: {name} has neither test nor validation images: all of train are evaluated")
    return source


def _described(classifier: Classifier, source: Source, result: Evaluation) -> dict:
    return {
        "model": classifier.name,
        "runs_on": classifier.runs_on,
        "dataset": source.name,
        "split": source.split,
        **result.as_json(),
        "broken_images": source.broken,
    }


def _show(classifier: Classifier, source: Source, result: Evaluation) -> None:
    console = Console()
    facts = Table(show_header=False)
    facts.add_row("model", classifier.name)
    facts.add_row("runs on", classifier.runs_on)
    facts.add_row("data", f"{source.name}, split {source.split}")
    facts.add_row("images", f"{result.images:,}")
    if source.broken:
        facts.add_row("broken images left out", f"{len(source.broken):,}")
    facts.add_row("top-1", f"{result.top1:.2%}")
    if result.top5 is not None:
        facts.add_row("top-5", f"{result.top5:.2%}")
    console.print(facts)
    totals = result.confusion.sum(axis=1)
    ordered = [i for i in np.argsort(result.per_class, kind="stable") if totals[i]]
    shown = ordered if len(ordered) <= 20 else ordered[:10]
    title = "accuracy by class" + ("" if shown == ordered else ", the ten lowest")
    table = Table(title=title)
    for column in ("class", "images", "accuracy", "most taken for"):
        table.add_column(column, justify="right" if column == "accuracy" else "left")
    for index in shown:
        others = result.confusion[index].copy()
        others[index] = 0
        worst = int(others.argmax())
        mistaken = f"{source.class_names[worst]} ({others[worst]})" if others.any() else ""
        accuracy = f"{result.per_class[index]:.2%}"
        table.add_row(source.class_names[index], f"{totals[index]:,}", accuracy, mistaken)
    console.print(table)
