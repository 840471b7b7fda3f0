"""What a training is going to do, without doing it."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from larq_bcd._files import replacing
from larq_bcd.data.batches import training_batches
from larq_bcd.training import networks
from larq_bcd.training.run import Training

_MOST_IMAGES = 64
_SMALLEST_TILE = 96
_CAPTION = 16
_LETTER = 6
_GAP = 4


def described(training: Training) -> Iterator[str]:
    """Yields lines on the images, the classes and each stage, whose network is built.

    Raises:
        UserError: if a network cannot be built, or a pattern fits none of its layers, or it
            cannot start from what the recipe says.
    """
    recipe = training.recipe
    for key, source in training.sources.items():
        yield f"{key}: {source.num_examples:,} images, split {source.split!r} of {source.name}"
    names = training.sources["training"].class_names
    yield f"classes: {len(names)}, {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
    for index, stage in enumerate(recipe.stages):
        network = networks.build_network(recipe, index, len(names))
        networks.freeze(recipe, index, network)
        training.check_start(index, network)
        lengths = training.lengths(index)
        trained = sum(math.prod(x.shape) for x in network.trainable_weights)
        warm_up = min(stage.schedule.warm_up_steps(lengths.steps), lengths.steps)
        yield (
            f"stage {stage.name}: {recipe.network_of(index)}, binary: {stage.binary}; "
            f"{lengths.steps:,} steps of {recipe.batch_size} images ({warm_up:,} of warm-up), "
            f"epochs of {lengths.per_epoch:,}; {trained:,} of {network.count_params():,} "
            "parameters are trained"
        )


def write_first_batch(training: Training, path: Path) -> int:
    """Writes the first images that a training is going to see, with their classes, as PNG.

    Returns:
        How many.

    Raises:
        FileError: if the file cannot be written.
        UserError: if more than 1 % of the images are broken.
    """
    recipe, source = training.recipe, training.sources["training"]
    batches = training_batches(
        source,
        recipe.preprocessing,
        recipe.stages[0].augmentation,
        recipe.batch_size,
        seed=recipe.seed,
    )
    with source.user_errors():
        [(images, labels)] = batches.take(1).as_numpy_iterator()
    pixels = recipe.preprocessing.pixels(images[:_MOST_IMAGES])
    captions = [_caption(label, source.class_names) for label in labels]
    with replacing(path) as temporary:
        _sheet(pixels, captions).save(temporary, "PNG")
    return len(pixels)


def _caption(label: np.ndarray, names: tuple[str, ...]) -> str:
    """The class, or of mixed images each with its share."""
    if not label.shape:
        return names[label]
    largest = [index for index in np.argsort(-label)[:2] if label[index] > 0.005]
    return " ".join(f"{names[index]} {label[index]:.0%}" for index in largest)


def _sheet(pixels: np.ndarray, captions: list[str]) -> Image.Image:
    """Images in rows, small ones enlarged, each above its caption."""
    count, height, width, _ = pixels.shape
    factor = max(1, _SMALLEST_TILE // width)
    size = (factor * width, factor * height)
    columns = math.ceil(math.sqrt(count))
    across, down = size[0] + _GAP, size[1] + _CAPTION
    sheet = Image.new("RGB", (columns * across, math.ceil(count / columns) * down), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for index, image in enumerate(pixels):
        corner = index % columns * across, index // columns * down
        tile = Image.fromarray(image.squeeze()).resize(size, Image.Resampling.NEAREST)
        sheet.paste(tile.convert("RGB"), corner)
        text = captions[index][: size[0] // _LETTER]
        draw.text((corner[0], corner[1] + size[1]), text, "black", font)
    return sheet
