"""Images from encoded bytes to a network's input, one at a time, on the CPU.

Everything random is drawn at once from the seed and the example's position in the stream,
and is the same wherever and however often it is drawn.
"""

import math

import numpy as np
import tensorflow as tf

from larq_bcd.data import images, python_calls
from larq_bcd.data.augmentation import Augmentation, ColorJitter, RandomResizedCrop
from larq_bcd.data.preprocessing import Preprocessing

_CROP_ATTEMPTS = 10
# Of the random numbers of an example: which of them decide what.
_DRAWS = 64
_CROP, _PAD, _FLIP, _JITTER, _CUTOUT = 0, 40, 42, 43, 56


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes an image as `larq_bcd.data.images.decode` does.

    Args:
        contents: scalar string, the bytes of a file.
        channels: 1 or 3.

    Returns:
        uint8 image `(height, width, channels)`.
    """

    def read(contents: bytes) -> np.ndarray:
        image = np.asarray(images.decode(contents, channels))
        return image.reshape((*image.shape[:2], channels))

    def by_pillow() -> tf.Tensor:
        return _by_pillow(read, contents, tf.uint8, (None, None, channels))

    # Of the large photographs of a training most need not wait for Python's lock: with the
    # exact cosine transform, TensorFlow decodes them to the same pixels.
    image = (
        by_pillow()
        if channels == 1
        else tf.cond(
            _is_plain_jpeg(contents),
            lambda: tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE"),
            by_pillow,
        )
    )
    image.set_shape((None, None, channels))
    return image


def _is_plain_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether it is a JPEG, not in CMYK, that says nothing of its orientation."""

    def is_plain() -> tf.Tensor:
        turned = [
            tf.size(tf.strings.split(contents, mark)) > 1
            for mark in ("Exif", "tiff:Orientation")
        ]
        return ~tf.reduce_any(turned) & (tf.image.extract_jpeg_shape(contents)[2] != 4)

    return tf.cond(tf.io.is_jpeg(contents), is_plain, lambda: tf.constant(False))


def _fitted(contents: tf.Tensor, preprocessing: Preprocessing, dtype="uint8", encode=np.array):
    """The image in a file at the network's size, `(height, width, channels)`, encoded."""

    def read(contents: bytes) -> np.ndarray:
        image = images.decode(contents, preprocessing.channels)
        return encode(images.fit(image, preprocessing))

    return _by_pillow(read, contents, tf.as_dtype(dtype), preprocessing.input_shape)


def evaluation_image(contents: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Decodes, resizes, crops and encodes an image for evaluation.

    Returns:
        `(height, width, channels)` in the encoding: float32, uint8 or int8.
    """
    return _fitted(contents, preprocessing, preprocessing.encoding, preprocessing.encoded)


def _by_pillow(read, contents: tf.Tensor, dtype: tf.DType, shape) -> tf.Tensor:
    @python_calls.called
    def read_or_nothing(contents) -> np.ndarray:
        try:
            # Eager, they are in an array.
            return read(contents if isinstance(contents, bytes) else contents.item())
        except ValueError:
            # What TensorFlow logs of a shape that does not fit is a line, of an exception it
            # is the traceback.
            return np.zeros(0, dtype.as_numpy_dtype)

    # A stateful function would keep a deterministic pipeline from working in parallel.
    image = tf.numpy_function(read_or_nothing, [contents], dtype, stateful=False)
    return tf.ensure_shape(image, shape)


def _resized(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Antialiased, as Pillow resizes; float32."""
    method = preprocessing.resampling
    return tf.image.resize(image, preprocessing.image_size, method, antialias=True)


def _normalized(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    mean, std = preprocessing.in_pixels()
    return (tf.cast(image, tf.float32) - mean) / std


def training_image(
    contents: tf.Tensor,
    position: tf.Tensor,
    seed: int,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
) -> tf.Tensor:
    """Decodes and augments an image for training.

    Returns:
        float32 image `(height, width, channels)`.
    """
    draws = _draws(position, seed)
    if augmentation.random_resized_crop:
        image = decode(contents, preprocessing.channels)
        image = _random_resized_crop(
            image, augmentation.random_resized_crop, preprocessing, draws
        )
    else:
        image = _fitted(contents, preprocessing)
    return _augmented(image[None], draws[None], preprocessing, augmentation)[0]


def training_images(
    images: tf.Tensor,
    positions: tf.Tensor,
    seed: int,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
) -> tf.Tensor:
    """Augments a batch of images for training, each as `training_image` does.

    Args:
        images: uint8 `(batch, height, width, channels)`, of the network's size.
        positions: int64 `(batch,)`, their indices in the stream.
        seed: of the augmentation.
        preprocessing: size and statistics.
        augmentation: what is random, without a random resized crop.

    Returns:
        float32 images `(batch, height, width, channels)`.
    """
    draws = tf.map_fn(
        lambda position: _draws(position, seed), positions, fn_output_signature=tf.float32
    )
    return _augmented(images, draws, preprocessing, augmentation)


def _draws(position: tf.Tensor, seed: int) -> tf.Tensor:
    """The random numbers of an example, float32 `(64,)` in [0, 1)."""
    key = tf.stack([tf.constant(seed, tf.int64), position])
    return tf.random.stateless_uniform([_DRAWS], key, alg="philox")


def _augmented(
    images: tf.Tensor,
    draws: tf.Tensor,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
) -> tf.Tensor:
    """The changes after the crop, of a batch of images of the network's size."""
    if augmentation.horizontal_flip:
        images = _flipped(images, draws[:, _FLIP] < 0.5)
    images = tf.cast(images, tf.float32)
    if jitter := augmentation.color_jitter:
        images = tf.map_fn(
            lambda pair: _color_jitter(pair[0], jitter, pair[1][_JITTER:]),
            (images, draws),
            fn_output_signature=tf.float32,
        )
    images = _normalized(images, preprocessing)
    if augmentation.pad_crop:
        images = _pad_crop(images, augmentation.pad_crop, draws[:, _PAD:])
    if augmentation.cutout:
        images = _cutout(images, augmentation.cutout, draws[:, _CUTOUT:])
    return tf.ensure_shape(images, (None, *preprocessing.input_shape))


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


def _random_resized_crop(
    image, crop: RandomResizedCrop, preprocessing: Preprocessing, draws
) -> tf.Tensor:
    corner, part = crop_window(tf.shape(image)[:2], crop, draws[_CROP:])
    image = image[corner[0] : corner[0] + part[0], corner[1] : corner[1] + part[1]]
    return _resized(image, preprocessing)


def _flipped(images, which) -> tf.Tensor:
    columns = tf.range(tf.shape(images)[2])
    # A gather takes a quarter of the time of a reversed slice and a choice.
    seen = tf.where(which[:, None], columns[::-1], columns)
    return tf.gather(images, seen, axis=2, batch_dims=1)


def _pad_crop(images, margin: int, draws) -> tf.Tensor:
    """Of normalized images, where 0 is the mean color."""
    size = tf.shape(images)[1:3]
    images = tf.pad(images, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
    corners = _below(draws[:, :2], 2 * margin + 1)
    for axis in (0, 1):
        seen = corners[:, axis, None] + tf.range(size[axis])
        images = tf.gather(images, seen, axis=axis + 1, batch_dims=1)
    return images


def _cutout(images, side: int, draws) -> tf.Tensor:
    """Blanks the square around a random pixel, as much of it as is inside the image."""

    def inside(axis: int) -> tf.Tensor:
        length = tf.shape(images)[axis + 1]
        start = _below(draws[:, axis, None], length) - side // 2
        index = tf.range(length)
        return (index >= start) & (index < start + side)

    square = inside(0)[:, :, None] & inside(1)[:, None, :]
    return tf.where(square[..., None], 0.0, images)


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
    for index in range(len(changes)):
        branches = [lambda image=image, change=change: change(image) for change in changes]
        image = tf.switch_case(order[index], branches)
    return image
