"""The inputs on which a flatbuffer is checked against its Keras model."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from larq_bcd.convert.errors import ConversionError
from larq_bcd.data import images
from larq_bcd.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing


def noise(
    model: tf.keras.Model,
    count: int,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Random images, smooth with grain, in a range of values that suits a model.

    Args:
        model: a model of one input of fixed shape.
        count: the number of inputs.
        preprocessing: the model's, or None if it is not known. Then the values are those of
            pixels if the model begins with what scales pixels, or takes integers, and else
            those that networks usually take.
        seed: the same seed gives the same inputs.

    Returns:
        float32 array of shape (count, *input_shape).
    """
    shape = tuple(model.inputs[0].shape[1:])
    rng = np.random.default_rng(seed)
    if len(shape) != 3:
        pixels = 255 * rng.uniform(0, 1, (count, *shape))
    else:
        height, width, channels = shape
        coarse = rng.uniform(-0.2, 1.2, (count, 4, 4, channels))
        smooth = tf.image.resize(coarse, (height, width), method="bicubic").numpy()
        grain = rng.normal(0, 0.1, (count, height, width, channels))
        pixels = 255 * np.clip(smooth + grain, 0, 1)
    if preprocessing is not None:
        return preprocessing.normalized(pixels)
    takes_pixels = not model.inputs[0].dtype.is_floating or any(
        isinstance(layer, tf.keras.layers.Rescaling | tf.keras.layers.Normalization)
        for layer in model.layers[:2]
    )
    if takes_pixels:
        return pixels.astype(np.float32)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if shape[-1:] == (3,) else (0.5, 0.25)
    return ((pixels / 255 - mean) / std).astype(np.float32)


def photographs(
    folder: Path, count: int, model: tf.keras.Model, preprocessing: Preprocessing | None
) -> np.ndarray:
    """Reads images as the model's preprocessing says.

    Args:
        folder: searched with its sub-folders, in alphabetic order.
        count: the largest number of images to read.
        model: the model that takes them.
        preprocessing: the model's, or None if it is not known.

    Returns:
        float32 array of shape (images, height, width, channels).

    Raises:
        ConversionError: if the model takes no images or its preprocessing is not known, or
            the folder is missing or holds none.
        UserError: if it holds one that cannot be read.
    """
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ConversionError(
            f"check-inputs takes images, but the model's input has shape {shape}: leave it out "
            "to check on noise."
        )
    if not folder.is_dir():
        raise ConversionError(f"check-inputs {folder} is not a folder: name one with images.")
    paths = images.find(folder)
    if not paths:
        raise ConversionError(
            f"check-inputs {folder} holds no images: put some there "
            f"({', '.join(images.SUFFIXES)}) or leave it out to check on noise."
        )
    if preprocessing is None:
        raise ConversionError(
            f"check-inputs {folder}: the preprocessing of the model is not known, so that "
            "images cannot be prepared: give --mean and --std, or leave check-inputs out to "
            "check on noise."
        )
    pixels = [images.read_pixels(path, preprocessing) for path in paths[:count]]
    return preprocessing.normalized(np.stack(pixels))
