"""Images from encoded bytes to a network's input, one at a time, on the CPU.

Everything random is drawn at once from the seed and the example's position in the stream,
and is the same wherever and however often it is drawn.
"""

import math

import tensorflow as tf

from larq_bcd.data import exif
from larq_bcd.data.augmentation import (
    Augmentation,
    ColorJitter,
    Preprocessing,
    RandomResizedCrop,
)

_CROP_ATTEMPTS = 10
# Of the random numbers of an example: which of them decide what.
_DRAWS = 64
_CROP, _PAD, _FLIP, _JITTER, _CUTOUT = 0, 40, 42, 43, 56


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes JPEG, PNG, BMP or GIF as a viewer shows it: upright, of a GIF the first frame.

    Args:
        contents: scalar string, the bytes of a file.
        channels: 1 or 3; other numbers of channels are converted, transparency and the lower
            half of 16-bit values are dropped.

    Returns:
        uint8 image `(height, width, channels)`.
    """
    # The slower and exact cosine transform: what Pillow and so PyTorch read.
    image = tf.cond(
        tf.io.is_jpeg(contents),
        lambda: tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(contents, channels, expand_animations=False),
    )
    image.set_shape((None, None, channels))
    return exif.upright(contents, image)


def _resized(image: tf.Tensor, size) -> tf.Tensor:
    """Bilinear and antialiased, as Pillow resizes; float32."""
    return tf.image.resize(image, size, antialias=True)


def _normalized(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    mean = tf.constant(preprocessing.mean) * 255
    return (tf.cast(image, tf.float32) - mean) / (tf.constant(preprocessing.std) * 255)


def _evaluation_view(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    height, width = preprocessing.image_size
    if preprocessing.resize is None:
        return _resized(image, (height, width))
    size = tf.shape(image)[:2]
    shorter = tf.reduce_min(size)
    size = size * preprocessing.resize // shorter
    image = _resized(image, size)
    # Rounded to even at a half, as in torchvision.
    top, left = tf.unstack(tf.cast(tf.round((size - (height, width)) / 2), tf.int32))
    return image[top : top + height, left : left + width]


def evaluation_image(contents: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Decodes, resizes, crops and normalizes an image for evaluation.

    Args:
        contents: scalar string, the bytes of a file.
        preprocessing: sizes and statistics.

    Returns:
        float32 image `(height, width, channels)`.
    """
    image = _evaluation_view(decode(contents, preprocessing.channels), preprocessing)
    image = _normalized(image, preprocessing)
    image.set_shape((*preprocessing.image_size, preprocessing.channels))
    return image


def training_image(
    contents: tf.Tensor,
    position: tf.Tensor,
    seed: int,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
) -> tf.Tensor:
    """Decodes and augments an image for training.

    Args:
        contents: scalar string, the bytes of a file.
        position: scalar int64, the example's place in the stream.
        seed: of the augmentation.
        preprocessing: sizes and statistics.
        augmentation: what is random.

    Returns:
        float32 image `(height, width, channels)`.
    """
    key = tf.stack([tf.constant(seed, tf.int64), position])
    draws = tf.random.stateless_uniform([_DRAWS], key, alg="philox")
    image = decode(contents, preprocessing.channels)
    if augmentation.random_resized_crop:
        image = _random_resized_crop(
            image, augmentation.random_resized_crop, preprocessing.image_size, draws
        )
    else:
        image = _evaluation_view(image, preprocessing)
    if augmentation.horizontal_flip:
        image = tf.cond(draws[_FLIP] < 0.5, lambda: image[:, ::-1], lambda: image)
    if augmentation.color_jitter:
        image = _color_jitter(image, augmentation.color_jitter, draws[_JITTER:])
    image = _normalized(image, preprocessing)
    if augmentation.pad_crop:
        image = _pad_crop(image, augmentation.pad_crop, preprocessing.image_size, draws[_PAD:])
    if augmentation.cutout:
        image = _cutout(image, augmentation.cutout, draws[_CUTOUT:])
    image.set_shape((*preprocessing.image_size, preprocessing.channels))
    return image


def _below(draw: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """An integer in [0, count) from a number in [0, 1)."""
    count = tf.cast(count, tf.float32)
    return tf.cast(tf.minimum(tf.floor(draw * count), count - 1), tf.int32)


def crop_window(
    size: tf.Tensor, crop: RandomResizedCrop, draws: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Chooses the part of an image for a random resized crop, as torchvision does.

    Ten parts of random area and ratio are drawn, and the first that fits is taken; if none
    does, it is the largest central part whose ratio is allowed.

    Args:
        size: int32 `(2,)`, height and width of the image.
        crop: ranges of area and ratio.
        draws: float32 in [0, 1), at least 40 of them.

    Returns:
        The upper left corner and the size of the part, int32 `(2,)` each.
    """
    height, width = tf.unstack(tf.cast(size, tf.float32))
    areas, ratios, tops, lefts = tf.unstack(
        tf.reshape(draws[: 4 * _CROP_ATTEMPTS], (4, _CROP_ATTEMPTS))
    )
    area = height * width * (crop.scale[0] + areas * (crop.scale[1] - crop.scale[0]))
    low, high = (math.log(ratio) for ratio in crop.ratio)
    ratio = tf.exp(low + ratios * (high - low))
    heights = tf.round(tf.sqrt(area / ratio))
    widths = tf.round(tf.sqrt(area * ratio))
    fits = (heights >= 1) & (widths >= 1) & (heights <= height) & (widths <= width)
    whole = tf.clip_by_value(width / height, *crop.ratio)
    fallback = tf.stack(
        [
            tf.minimum(height, tf.round(width / whole)),
            tf.minimum(width, tf.round(height * whole)),
        ]
    )
    fallback = tf.maximum(fallback, 1.0)
    chosen = tf.argmax(tf.cast(fits, tf.int32))
    any_fits = tf.reduce_any(fits)
    part = tf.where(any_fits, tf.stack([heights[chosen], widths[chosen]]), fallback)
    part = tf.cast(part, tf.int32)
    room = tf.cast(size, tf.int32) - part
    corner = tf.stack([_below(tops[chosen], room[0] + 1), _below(lefts[chosen], room[1] + 1)])
    return tf.where(any_fits, corner, room // 2), part


def _random_resized_crop(image, crop: RandomResizedCrop, image_size, draws) -> tf.Tensor:
    corner, part = crop_window(tf.shape(image)[:2], crop, draws[_CROP:])
    image = image[corner[0] : corner[0] + part[0], corner[1] : corner[1] + part[1]]
    return _resized(image, image_size)


def _pad_crop(image, margin: int, image_size, draws) -> tf.Tensor:
    """Of a normalized image, where 0 is the mean color."""
    image = tf.pad(image, [[margin, margin], [margin, margin], [0, 0]])
    top, left = _below(draws[0], 2 * margin + 1), _below(draws[1], 2 * margin + 1)
    return image[top : top + image_size[0], left : left + image_size[1]]


def _cutout(image, side: int, draws) -> tf.Tensor:
    """Blanks the square around a random pixel, as much of it as is inside the image."""
    size = tf.shape(image)

    def inside(axis: int) -> tf.Tensor:
        start = _below(draws[axis], size[axis]) - side // 2
        place = tf.range(size[axis])
        return (place >= start) & (place < start + side)

    square = inside(0)[:, None] & inside(1)[None, :]
    return tf.where(square[..., None], 0.0, image)


_LUMA = (0.299, 0.587, 0.114)


def _gray(image: tf.Tensor) -> tf.Tensor:
    if image.shape[-1] == 1:
        return image
    return tf.reduce_sum(image * tf.constant(_LUMA), axis=-1, keepdims=True)


def _color_jitter(image, jitter: ColorJitter, draws) -> tf.Tensor:
    """Of a float image in [0, 255]; the four changes in random order, as in torchvision."""

    def factor(draw, strength: float) -> tf.Tensor:
        return 1 - strength + 2 * strength * draw

    def blended(image, other, factor) -> tf.Tensor:
        return tf.clip_by_value(factor * image + (1 - factor) * other, 0.0, 255.0)

    def brightness(image):
        return blended(image, 0.0, factor(draws[0], jitter.brightness))

    def contrast(image):
        mean = tf.reduce_mean(_gray(image))
        return blended(image, mean, factor(draws[1], jitter.contrast))

    def saturation(image):
        return blended(image, _gray(image), factor(draws[2], jitter.saturation))

    def hue(image):
        if image.shape[-1] == 1:
            return image
        return tf.image.adjust_hue(image / 255, jitter.hue * (2 * draws[3] - 1)) * 255

    strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    changes = [
        change
        for change, strength in zip(
            (brightness, contrast, saturation, hue), strengths, strict=True
        )
        if strength
    ]
    order = tf.argsort(draws[4 : 4 + len(changes)])
    for place in range(len(changes)):
        branches = [lambda image=image, change=change: change(image) for change in changes]
        image = tf.switch_case(order[place], branches)
    return image
