"""The inputs on which a flatbuffer is checked against its Keras model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf

from larq_bcd.convert.errors import ConversionError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# The usual ratio of the shorter side to the crop: 256 to 224.
RESIZE = 256 / 224


@dataclass(frozen=True)
class Normalization:
    """What turns pixels in [0, 1] into the model's input: (pixel - mean) / std.

    Attributes:
        mean: one value for each channel.
        std: one value for each channel, above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Normalizes pixels of shape (..., channels) in [0, 1] to float32."""
        return ((pixels - np.array(self.mean)) / np.array(self.std)).astype(np.float32)


def normalization_for(
    model: tf.keras.Model,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Normalization:
    """The normalization that a model expects of its caller.

    Args:
        model: a model with one input whose last axis is the channels.
        mean, std: in units of pixels in [0, 1], one value for each channel or one for all.
            By default a model that starts with a Rescaling or Normalization layer, or
            takes integers, gets pixels in [0, 255]; else one of three channels gets
            ImageNet's mean and standard deviation, any other 0.5 and 0.25.

    Raises:
        ConversionError: if the number of values fits neither 1 nor the channels, or a
            standard deviation is not above 0.
    """
    channels = int(model.inputs[0].shape[-1])
    takes_pixels = not model.inputs[0].dtype.is_floating or any(
        isinstance(layer, tf.keras.layers.Rescaling | tf.keras.layers.Normalization)
        for layer in model.layers[:2]
    )
    if takes_pixels:
        defaults = (0.0,) * channels, (1 / 255,) * channels
    elif channels == 3:
        defaults = IMAGENET_MEAN, IMAGENET_STD
    else:
        defaults = (0.5,) * channels, (0.25,) * channels
    values = []
    for name, given, default in (("mean", mean, defaults[0]), ("std", std, defaults[1])):
        chosen = tuple(default if given is None else given)
        if len(chosen) == 1:
            chosen *= channels
        if len(chosen) != channels:
            raise ConversionError(
                f"{name} has {len(chosen)} values, but the model's input has {channels} "
                f"channels: give 1 or {channels} values."
            )
        values.append(chosen)
    if min(values[1]) <= 0:
        raise ConversionError(f"std is {values[1]}: give values above 0.")
    return Normalization(*values)


def noise(
    shape: Sequence[int], count: int, normalize: Normalization, seed: int = 0
) -> np.ndarray:
    """Random images, smooth with grain, in the value range of the model's preprocessing.

    Args:
        shape: (height, width, channels), or any other shape of one input.
        count: the number of inputs.
        normalize: the model's normalization.
        seed: the same seed gives the same inputs.

    Returns:
        float32 array of shape (count, *shape).
    """
    rng = np.random.default_rng(seed)
    if len(shape) != 3:
        return normalize(rng.uniform(0, 1, (count, *shape)))
    height, width, channels = shape
    coarse = rng.uniform(-0.2, 1.2, (count, 4, 4, channels))
    smooth = tf.image.resize(coarse, (height, width), method="bicubic").numpy()
    pixels = smooth + rng.normal(0, 0.1, (count, height, width, channels))
    return normalize(np.clip(pixels, 0, 1))


def images(
    folder: Path, shape: Sequence[int], count: int, normalize: Normalization
) -> np.ndarray:
    """Reads images as they are prepared for evaluation: resized and cropped at the center.

    Args:
        folder: searched with its sub-folders, in alphabetic order.
        shape: (height, width, channels) of the model's input, with 1 or 3 channels.
        count: the largest number of images to read.
        normalize: the model's normalization.

    Returns:
        float32 array of shape (images, *shape).

    Raises:
        ConversionError: if the model takes no images, or the folder is missing, holds none,
            or holds one that cannot be read.
    """
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ConversionError(
            f"check-inputs takes images, but the model's input has shape {tuple(shape)}: "
            "leave it out to check on noise."
        )
    if not folder.is_dir():
        raise ConversionError(f"check-inputs {folder} is not a folder: name one with images.")
    paths = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file()
    )
    if not paths:
        raise ConversionError(
            f"check-inputs {folder} holds no images: put some there "
            f"({', '.join(sorted(_SUFFIXES))}) or leave it out to check on noise."
        )
    return np.stack([read_image(path, shape, normalize) for path in paths[:count]])


def read_image(path: Path, shape: Sequence[int], normalize: Normalization) -> np.ndarray:
    """Reads one image as `images` reads those of a folder, of shape `shape`."""
    height, width, channels = shape
    try:
        with PIL.Image.open(path) as opened:
            image = opened.convert("RGB" if channels == 3 else "L")
    # Pillow raises OSError and, for broken files of some formats, SyntaxError or ValueError.
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ConversionError(
            f"the image {path} cannot be read ({error}): repair or remove it."
        ) from error
    scale = RESIZE * max(height / image.height, width / image.width)
    size = (
        max(width, round(image.width * scale)),
        max(height, round(image.height * scale)),
    )
    image = image.resize(size, PIL.Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    image = image.crop((left, top, left + width, top + height))
    return normalize(np.asarray(image, np.float64).reshape(shape) / 255)
