"""Generated images, for a smoke run where the data of a recipe are not at hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from larq_bcd.data import splits
from larq_bcd.data.batches import open_source
from larq_bcd.errors import UserError
from larq_bcd.training.recipe import Recipe

_CLASSES = 10
_IMAGES = 8


def in_place_of_missing(recipe: Recipe, output: Path, report: Callable[[str], None]) -> Recipe:
    """Returns a recipe whose data are there."""
    data = recipe.data
    try:
        open_source(data.name, data.train, data.data_dir)
    except UserError as error:
        report(f"{error}\nGenerated images take their place in this smoke run.")
    else:
        return recipe
    names = [splits.parse(split)[0] for split in (data.train, data.validation) if split]
    folder = output / "generated"
    try:
        write_images(folder, names, recipe.preprocessing.image_size)
    except OSError as error:
        raise UserError(
            f"{folder} could not be written ({error.strerror}): see to it, or give another "
            "--output."
        ) from error
    return recipe.model_copy(
        update={
            "data": data.model_copy(
                update={
                    "name": str(folder.absolute()),
                    "train": names[0],
                    "validation": names[-1] if data.validation else None,
                    "data_dir": None,
                }
            )
        }
    )


def write_images(folder: Path, names: list[str], size: tuple[int, int]) -> None:
    """Writes a folder of class folders for each split: noise around a color of the class."""
    rng = np.random.default_rng(0)
    colors = rng.integers(64, 192, (_CLASSES, 3))
    for name in names:
        for index, color in enumerate(colors):
            of_class = folder / name / f"class{index}"
            of_class.mkdir(parents=True, exist_ok=True)
            for image in range(_IMAGES):
                noise = rng.integers(-60, 60, (8, 8, 3))
                small = Image.fromarray((color + noise).clip(0, 255).astype(np.uint8))
                small.resize(size[::-1]).save(of_class / f"{image}.png")
