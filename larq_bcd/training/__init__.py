"""Training by recipe: data, stages, the loop around `model.fit`, and evaluation."""

from larq_bcd.training.progress import Progress
from larq_bcd.training.recipe import Recipe
from larq_bcd.training.recipe_file import read_recipe
from larq_bcd.training.run import Training

__all__ = ["Progress", "Recipe", "Training", "read_recipe"]


def __dir__() -> list[str]:
    return __all__
