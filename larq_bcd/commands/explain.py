"""Draws what a network makes of an image, as PNG, beside another network if given.

The effective receptive field of the central unit of a layer; Grad-CAM for the class that the
network chooses; and the thresholds that DySign or a contextual embedding chooses for the image
against the static ones. Or the binarization error of each binary product.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from larq_bcd._files import as_json, write_atomically
from larq_bcd._signals import Signals
from larq_bcd.commands.model_file import load
from larq_bcd.convert.load import LoadedModel
from larq_bcd.data import images
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.explain import binarization_errors, error_figure, figure
from larq_bcd.tflite.metadata import read_labels


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    sources = [name for name in (arguments.model, arguments.compare) if name]
    names = _names(sources)
    loaded = {
        name: load(source, arguments) for name, source in zip(names, sources, strict=True)
    }
    draw = _errors if arguments.binarization_error else _seen
    contents = draw(loaded, arguments)
    signals.heed_no_more()
    for path, content in contents.items():
        write_atomically(path, content, arguments.force)
        print(f"wrote {path}")
    return 0


def _names(sources: list[str]) -> list[str]:
    """What the picture calls the networks: their files, with the folder if it takes that."""
    paths = [Path(source) for source in sources]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.absolute().parent.name}/{path.stem}" for path in paths]
    if len(set(names)) < len(names):
        raise UserError(
            f"--compare {sources[1]}: both networks are called {names[0]}: rename a file or "
            "its folder."
        )
    return names


def _seen(
    loaded: Mapping[str, LoadedModel], arguments: argparse.Namespace
) -> dict[Path, bytes]:
    """What the networks make of one image."""
    if arguments.numbers is not None:
        raise UserError("--numbers goes with --binarization-error only: leave it out.")
    labels = None if arguments.labels is None else read_labels(arguments.labels)
    seen = {name: _see(name, one, arguments, labels) for name, one in loaded.items()}
    return {arguments.output: figure.encode(figure.draw(seen, arguments.layer, labels))}


def _see(name: str, loaded: LoadedModel, arguments: argparse.Namespace, labels) -> figure.Seen:
    model = loaded.model
    shape = _image_shape(model)
    if len(model.outputs) != 1 or model.outputs[0].shape.rank != 2:
        outputs = ", ".join(str(tuple(output.shape)) for output in model.outputs)
        raise UserError(
            f"MODEL {model.name!r} is not a classifier: its outputs have the shapes {outputs}, "
            "not (batch, classes)."
        )
    classes = model.outputs[0].shape[-1]
    if labels is not None and len(labels) != classes:
        raise UserError(
            f"--labels {arguments.labels} has {len(labels)} names, but MODEL {model.name!r} "
            f"has {classes} classes: write one name in each line."
        )
    known, preprocessing = _known(name, loaded, shape, arguments)
    pixels = images.read_pixels(arguments.image, preprocessing)
    image = preprocessing.normalized(pixels)
    return figure.Seen(model, image, pixels / np.float32(255), known.class_names)


def _errors(
    loaded: Mapping[str, LoadedModel], arguments: argparse.Namespace
) -> dict[Path, bytes]:
    """What the networks lose where they compute with signs, as a picture and as numbers."""
    errors = {name: _errors_of(name, one, arguments) for name, one in loaded.items()}
    for name, some in errors.items():
        for kind, mean in error_figure.means(some).items():
            print(f"{name}: {kind}: mean error {mean:.4f}")
    contents = {arguments.output: figure.encode(error_figure.draw(errors))}
    if arguments.numbers is not None:
        is_csv = arguments.numbers.suffix.lower() == ".csv"
        plain = error_figure.as_csv if is_csv else lambda x: as_json(error_figure.as_plain(x))
        contents[arguments.numbers] = plain(errors).encode()
    return contents


def _errors_of(name: str, loaded: LoadedModel, arguments: argparse.Namespace):
    _, preprocessing = _known(name, loaded, _image_shape(loaded.model), arguments)
    path = arguments.image
    files = images.find(path) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path} has no images: name a folder of JPEG, PNG or other files.")
    batch = [
        preprocessing.normalized(images.read_pixels(file, preprocessing)) for file in files
    ]
    return binarization_errors(loaded.model, np.stack(batch))


def _image_shape(model) -> tuple:
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise UserError(
            f"MODEL {model.name!r} takes inputs of shape {shape}, not images of 1 or 3 "
            "channels."
        )
    return shape


def _known(
    name: str, loaded: LoadedModel, shape: tuple, arguments: argparse.Namespace
) -> tuple[Description, Preprocessing]:
    """What is known of a network's images and classes, which it prints."""
    known = loaded.described()
    known = known.with_preprocessing(shape, arguments.mean, arguments.std, arguments.resize)
    if known.preprocessing is None:
        raise UserError(
            f"how images are prepared for MODEL {loaded.model.name!r} is not known: give "
            "--mean and --std, and --resize if the center is cut out."
        )
    for line in known.lines():
        print(f"{name}: {line}")
    return known, known.preprocessing
