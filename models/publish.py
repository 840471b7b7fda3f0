"""Publishes a training that is done: the weights, the .tflite file, the figures and the card.

    python models/publish.py runs/bcdnet_b_cifar10 --name cifar10

The weights go into the package, where `larq_bcd.models` finds them by that name, and all else
into the folder of the recipe in models/: the file, results.json, curves, confusion matrix and
card.md. The split that the accuracy is of, "test", is read here, once, when all else is done.
"""

import argparse
import csv
import dataclasses
import hashlib
import json
import shutil
import sys
from pathlib import Path

import larq_bcd  # noqa: F401  (settles Keras before other modules import larq)

# isort: split

import numpy as np
import tensorflow as tf

from larq_bcd._files import replacing, write_atomically, write_json
from larq_bcd.commands.evaluate import evaluate_with_progress
from larq_bcd.convert import FileOptions, convert
from larq_bcd.convert.inputs import noise
from larq_bcd.convert.load import load_model
from larq_bcd.data.batches import open_source
from larq_bcd.data.sources import Source
from larq_bcd.data.splits import parse
from larq_bcd.errors import UserError
from larq_bcd.evaluation.accuracy import Evaluation, plot_confusion
from larq_bcd.evaluation.classifiers import FileClassifier, KerasClassifier
from larq_bcd.models import describe, description_of, get_model, model_info
from larq_bcd.models.packed import pack, round_kernels, unpack
from larq_bcd.models.published import Weights, add, architecture, file_of
from larq_bcd.summary.network import cost
from larq_bcd.training.networks import arguments_of
from larq_bcd.training.recipe import Recipe
from larq_bcd.training.recipe_file import read_recipe

MODELS = Path(__file__).parent
# What card.md has from here; what people write around it stays.
START, END = "<!-- figures: written by models/publish.py -->", "<!-- /figures -->"


def main(argv: list[str] | None = None) -> int:
    """Publishes a training, as the module says.

    Returns:
        The exit status, 2 if something is missing or wrong.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_argument = parser.add_argument
    add_argument("run", type=Path, help="folder of the training")
    add_argument("--name", required=True, help="name of the weights, such as cifar10")
    add_argument("--zoo", type=Path, help="folder of its recipe (models/ and the run's name)")
    add_argument("--split", default="test", help="split that the accuracy is of (test)")
    add_argument(
        "--round-kernels",
        action="store_true",
        help="round what is not binary of the kernels to float16 first, for a smaller file",
    )
    arguments = parser.parse_args(argv)
    zoo = arguments.zoo or MODELS / arguments.run.name
    try:
        publish(arguments.run, arguments.name, zoo, arguments.split, arguments.round_kernels)
    except UserError as error:
        print(f"publish: error: {error}", file=sys.stderr)
        return 2
    return 0


def publish(run: Path, name: str, zoo: Path, split: str, rounds_kernels: bool) -> Weights:
    """Publishes a training.

    Args:
        run: its folder.
        name: that the weights get.
        zoo: the folder that has its recipe, and gets the rest.
        split: the split that the accuracy is of.
        rounds_kernels: whether its real kernels are rounded to float16 before all else.

    Returns:
        What is known of the weights then.

    Raises:
        UserError: if the training is not done, is of another recipe than that in the zoo, has
            been published, or is not fit to be.
    """
    recipe = _checked_recipe(run, zoo)
    last = len(recipe.stages) - 1
    results = json.loads((run / "results.json").read_text())
    trained = load_model(run / "model.keras").model
    description = description_of(trained)
    network, classes = recipe.network_of(last), trained.output_shape[-1]
    arguments = {**arguments_of(recipe, last), "num_classes": classes}

    plain = get_model(network, **arguments)
    plain.set_weights(trained.get_weights())
    _require_same(trained, plain)
    if rounds_kernels:
        round_kernels(plain)
    arrays = pack(plain)
    unpack(arrays, plain)
    model = describe(plain, description.preprocessing, description.class_names)
    costs = cost(model)

    full_name, file = f"{network}:{name}", zoo / f"{zoo.name}.tflite"
    options = FileOptions(recipe_sha256=_sha256(zoo / "recipe.yaml"))
    result = convert(model, name=full_name, options=options)
    result.require_binary()
    result.require_equal()
    about = Weights(
        network=network,
        name=name,
        arguments=architecture(model_info(network).build, arguments),
        dataset=recipe.data.name,
        split=split,
        top1=0.0,
        preprocessing=description.preprocessing,
        class_names=description.class_names,
        bops=costs.bops,
        flops=costs.flops,
        card=zoo.name,
    )
    file_of(about, arrays)  # before the split is read: it may be too large

    source = open_source(recipe.data.name, split, recipe.data.data_dir)
    print(f"Reading the split {split!r} of {source.name!r}, once: by Keras, and by the file.")
    write_atomically(file, result.content, force=True)
    by_keras, by_file = (
        evaluate_with_progress(classifier, source, description.preprocessing, 100)
        for classifier in (KerasClassifier(full_name, model), FileClassifier(file))
    )
    about = add(dataclasses.replace(about, top1=100 * by_keras.top1), arrays)
    plot_confusion(by_keras, zoo / "confusion.png")
    _write_confusion(by_keras, zoo / "confusion.csv")
    (zoo / "example.png").write_bytes(_first_image(source))
    shutil.copy(run / "curves.png", zoo / "curves.png")
    results |= {
        "weights": {"name": about.full_name, "sha256": about.sha256, "bytes": about.size},
        "kernels_rounded_to": "float16" if rounds_kernels else None,
        "test_split": split,
        "test_images": by_keras.images,
        "test_accuracy": {"keras": by_keras.top1, "tflite": by_file.top1},
        "test_top5": {"keras": by_keras.top5, "tflite": by_file.top5},
        "tflite_bytes": len(result.content),
        "parameters": costs.parameters,
        "binary_parameters": costs.binary_parameters,
        "bops": costs.bops,
        "flops": costs.flops,
    }
    write_json(zoo / "results.json", results)
    _write_card(zoo, recipe, results)
    print(f"{about.full_name}: {about.top1:.2f} % of {by_keras.images:,} images; see {zoo}.")
    return about


def _checked_recipe(run: Path, zoo: Path) -> Recipe:
    """The recipe of a training that can be published."""
    if not (run / "model.keras").is_file() or not (run / "results.json").is_file():
        raise UserError(
            f"{run} has no model.keras: give the folder of a training that is done."
        )
    recipe, published = read_recipe(run), read_recipe(zoo)
    # Where the images are, and how often a run is kept, is not of the training.
    free = {"checkpoint_every": recipe.checkpoint_every, "data": recipe.data}
    same_data = recipe.data.model_copy(
        update={"data_dir": published.data.data_dir, "name": published.data.name}
    )
    if published.model_copy(update=free) != recipe or same_data != published.data:
        raise UserError(
            f"{run} was trained by another recipe than {zoo}: its card would be wrong; write "
            "into the recipe there what was done."
        )
    if recipe.stages[-1].binary != "all":
        raise UserError(f"{run} does not end in a binary network: train its last stage so.")
    results = zoo / "results.json"
    if results.exists() and "weights" in json.loads(results.read_text()):
        raise UserError(
            f"{zoo} is published, and a test split is read once for a training: remove "
            f"{results} if this is another training."
        )
    return recipe


def _require_same(trained: tf.keras.Model, plain: tf.keras.Model) -> None:
    (images,) = noise(trained, 8)
    if not np.array_equal(trained(images), plain(images)):
        raise UserError(
            f"{plain.name}, built by the recipe, gives other outputs than the trained network: "
            "it was trained by another version of larq_bcd; train it anew."
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_confusion(result: Evaluation, path: Path) -> None:
    """Writes the images by class, one row each, and by the class that was found."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", *result.class_names])
        for name, row in zip(result.class_names, result.confusion.tolist(), strict=True):
            writer.writerow([name, *row])


def _first_image(source: Source) -> bytes:
    """The first image of a split as PNG, in its own size."""
    located = tuple(array[0] for array in source.locate(np.arange(1)))
    contents, _ = next(iter(tf.data.Dataset.from_tensors(located).flat_map(source.read)))
    image = tf.io.decode_image(contents, expand_animations=False)
    return tf.io.encode_png(image).numpy()


def _write_card(zoo: Path, recipe: Recipe, results: dict) -> None:
    """Writes the figures into card.md, in place of those that it has."""
    path = zoo / "card.md"
    old = path.read_text() if path.exists() else ""
    figures = f"{START}\n{card(zoo.name, recipe, results)}{END}"
    if START in old:
        before, _, rest = old.partition(START)
        text = before + figures + rest.partition(END)[2]
    else:
        heading = old.partition("\n")[0] or f"# {zoo.name}"
        text = f"{heading}\n\n{figures}\n"
    with replacing(path) as temporary:
        temporary.write_text(text)


def card(zoo: str, recipe: Recipe, results: dict) -> str:
    """Returns the figures of a training, and the commands that print them, as Markdown.

    Args:
        zoo: name of its folder.
        recipe: of the training.
        results: what results.json has.
    """
    name, folder = results["weights"]["name"], f"models/{zoo}"
    file, split = f"{folder}/{zoo}.tflite", results["test_split"]
    evaluated = f"--recipe {folder}/recipe.yaml --split {split}"
    accuracy, images = results["test_accuracy"], f"{results['test_images']:,} images"
    rows = [
        (
            "accuracy, Keras",
            f"{accuracy['keras']:.2%} of {images}",
            f"larq-bcd evaluate {name} {evaluated}",
        ),
        (
            "accuracy, file",
            f"{accuracy['tflite']:.2%}",
            f"larq-bcd evaluate {file} {evaluated}",
        ),
        ("size of the file", f"{results['tflite_bytes']:,} bytes", f"larq-bcd show {file}"),
        (
            "size of the weights",
            f"{results['weights']['bytes'] / 1e3:.0f} kB",
            "larq-bcd models --pretrained",
        ),
        ("parameters", f"{results['parameters']:,}", f"larq-bcd summary {name}"),
        ("of them binary", f"{results['binary_parameters']:,}", f"larq-bcd summary {name}"),
        ("BOPs", f"{results['bops']:,}", f"larq-bcd summary {name}"),
        ("FLOPs", f"{results['flops']:,}", f"larq-bcd summary {name}"),
    ]
    lines = ["", "| | | printed by |", "|---|---|---|"]
    lines += [f"| {what} | {value} | `{command}` |" for what, value, command in rows]
    made = f"lce_convert {name} -o {file} --recipe {folder}/recipe.yaml"
    lines += [
        "",
        f"`{made}` makes the file again, but for numbers in the names of its tensors.",
    ]
    lines += [
        f"`bcd-run {file} {folder}/example.png` tells what the first image of the split is."
    ]
    lines += [*_remarks(recipe, results), ""]
    steps = f"steps of {recipe.batch_size} images"
    lines += [
        f"| stage | {steps} | epochs | validation accuracy | time |",
        "|---|---|---|---|---|",
        *(_stage_row(stage) for stage in results["stages"]),
        "",
        f"printed by `larq-bcd train {folder}/recipe.yaml`.",
        "",
        "![curves](curves.png)",
        "",
        "![confusion matrix](confusion.png)",
    ]
    return "\n".join(lines) + "\n"


def _remarks(recipe: Recipe, results: dict) -> list[str]:
    split, validation = results["test_split"], recipe.data.validation
    seen = [x for x in (recipe.data.train, validation) if x and parse(x)[0] == parse(split)[0]]
    if seen:
        remarks = [
            f"The split `{split}` is not unseen: the training had `{'` and `'.join(seen)}`."
        ]
    else:
        remarks = [
            f"The split `{split}` was read once, when the training was published, by Keras and "
            f"by the file; the training had `{recipe.data.train}`, and `{validation}` to "
            "validate on."
        ]
    if results["kernels_rounded_to"]:
        remarks.append(
            "The real kernels were rounded to float16 after the training; all of these "
            "figures but the validation accuracy are those of the rounded network."
        )
    return remarks


def _stage_row(stage: dict) -> str:
    accuracy = (stage["last"] or {}).get("val_accuracy")
    return (
        f"| {stage['stage']} | {stage['iterations']:,} | {stage['epochs']} | "
        f"{'' if accuracy is None else f'{accuracy:.2%}'} | {stage['seconds'] / 60:.0f} min |"
    )


if __name__ == "__main__":
    sys.exit(main())
