"""Images and their classes: sources, reading, preprocessing, augmentation, batches."""

from larq_bcd.data.batches import evaluation_batches, open_source, training_batches
from larq_bcd.data.preprocessing import Preprocessing

__all__ = ["Preprocessing", "evaluation_batches", "open_source", "training_batches"]


def __dir__() -> list[str]:
    return __all__
