"""Draws what a network makes of an image, as PNG, beside another network if given.

The effective receptive field of the central unit of a layer; Grad-CAM for the class that the
network chooses; and the thresholds that DySign or a contextual embedding chooses for the image
against the static ones.
"""

import argparse
from pathlib import Path

import numpy as np

from larq_bcd._files import write_atomically
from larq_bcd._signals import Signals
from larq_bcd.commands.model_file import load
from larq_bcd.convert.load import LoadedModel
from larq_bcd.data.images import read_pixels
from larq_bcd.errors import UserError
from larq_bcd.explain import figure
from larq_bcd.tflite.metadata import read_labels


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    output = arguments.output
    labels = None if arguments.labels is None else read_labels(arguments.labels)
    sources = [name for name in (arguments.model, arguments.compare) if name]
    seen = {
        name: _see(name, load(source, arguments), arguments, labels)
        for name, source in zip(_names(sources), sources, strict=True)
    }
    picture = figure.encode(figure.draw(seen, arguments.layer, labels))
    signals.heed_no_more()
    write_atomically(output, picture, arguments.force)
    print(f"wrote {output}")
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


def _see(name: str, loaded: LoadedModel, arguments: argparse.Namespace, labels) -> figure.Seen:
    model = loaded.model
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise UserError(
            f"MODEL {model.name!r} takes inputs of shape {shape}, no images of 1 or 3 channels."
        )
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
    known = loaded.described()
    known = known.with_preprocessing(shape, arguments.mean, arguments.std, arguments.resize)
    preprocessing = known.preprocessing
    if preprocessing is None:
        raise UserError(
            f"how images are prepared for MODEL {model.name!r} is not known: give --mean and "
            "--std, and --resize if the center is cut out."
        )
    for line in known.lines():
        print(f"{name}: {line}")
    pixels = read_pixels(arguments.image, preprocessing)
    image = preprocessing.normalized(pixels)
    return figure.Seen(model, image, pixels / np.float32(255), known.class_names)
