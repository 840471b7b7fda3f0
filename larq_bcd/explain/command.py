"""Draws what a network makes of an image, as PNG, beside another network if given.

The effective receptive field of the central unit of a layer; Grad-CAM for the class that the
network chooses; and the thresholds that DySign or a contextual embedding chooses for the image
against the static ones.
"""

import argparse
from pathlib import Path

import tensorflow as tf

from larq_bcd.convert.inputs import Normalisation, normalisation_for, read_image
from larq_bcd.convert.load import load_model
from larq_bcd.errors import UserError
from larq_bcd.explain import figure

EXAMPLES = """  larq-bcd explain trained.keras photo.jpg -o seen.png
  larq-bcd explain reactnet.keras photo.jpg --compare bcdnet.keras -o both.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `larq-bcd explain`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a .keras or .h5 file, a SavedModel folder, or a name")
    add("image", metavar="IMAGE", type=Path, help="an image file")
    add("-o", "--output", metavar="FILE.png", type=Path, required=True)
    add("--compare", metavar="MODEL", help="a second network, drawn below the first")
    add("--layer", metavar="NAME", help="layer to look at, by default the last before pooling")
    for name, unit in {"mean": "mean", "std": "standard deviation"}.items():
        add(
            f"--{name}",
            type=float,
            nargs="+",
            help=f"{unit} that normalises pixels in [0, 1]; by default ImageNet's",
        )


def run(arguments: argparse.Namespace) -> int:
    """Runs `larq-bcd explain`."""
    if not arguments.output.parent.is_dir():
        raise UserError(f"--output: there is no folder {arguments.output.parent}: make it.")
    names = [name for name in (arguments.model, arguments.compare) if name]
    loaded = {_label(name): load_model(name).model for name in names}
    if len(loaded) < len(names):
        raise UserError("--compare: the two networks have one name: rename a file.")
    shapes = {name: _image_shape(model) for name, model in loaded.items()}
    images = {
        name: read_image(
            arguments.image,
            shapes[name],
            normalisation_for(model, arguments.mean, arguments.std),
        )
        for name, model in loaded.items()
    }
    shape = next(iter(shapes.values()))
    plain = Normalisation((0.0,) * shape[-1], (1.0,) * shape[-1])
    pixels = {name: read_image(arguments.image, shapes[name], plain) for name in loaded}
    figure.save(
        figure.draw(loaded, images, next(iter(pixels.values())), arguments.layer),
        arguments.output,
    )
    print(f"wrote {arguments.output}")
    return 0


def _label(name: str) -> str:
    return Path(name).stem


def _image_shape(model: tf.keras.Model) -> tuple[int, ...]:
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise UserError(
            f"MODEL {model.name!r} takes inputs of shape {shape}, no images of 1 or 3 channels."
        )
    return shape
