"""Mixup and cutmix, between neighbors of the stream.

The stream is in random order, so that neighbors are random pairs; and a pair is never
divided among processes whose share of a batch is even, so that all numbers of processes see
the same mixtures. Both images of a pair get the same share of the other.
"""

import tensorflow as tf

from larq_bcd.data.augmentation import Augmentation

# Tells the draws of a pair from those of its images' other augmentation.
_PURPOSE = 1 << 40


def _beta(alpha: float, key: tf.Tensor) -> tf.Tensor:
    """A number from the symmetric Beta distribution."""
    first, second = tf.unstack(tf.random.stateless_gamma([2], key, alpha))
    return first / tf.maximum(first + second, 1e-30)


def _mixup_share(alpha: float, key: tf.Tensor, image_size: tuple[int, int]) -> tf.Tensor:
    return tf.fill((*image_size, 1), _beta(alpha, key))


def _cutmix_share(alpha: float, key: tf.Tensor, image_size, draws: tf.Tensor) -> tf.Tensor:
    side = tf.sqrt(1 - _beta(alpha, key))

    def inside(length: int, draw: tf.Tensor) -> tf.Tensor:
        cut = tf.floor(side * length)
        start = tf.floor(draw * length) - tf.floor(cut / 2)
        index = tf.range(length, dtype=tf.float32)
        return (index >= start) & (index < start + cut)

    height, width = image_size
    other = inside(height, draws[0])[:, None] & inside(width, draws[1])[None, :]
    return 1 - tf.cast(other[..., None], tf.float32)


def own_share(
    position: tf.Tensor, seed: int, augmentation: Augmentation, image_size: tuple[int, int]
) -> tf.Tensor:
    """Returns how much of each pixel an image keeps: `(height, width, 1)`, in [0, 1].

    Args:
        position: scalar int64, the image's index in the stream.
        seed: of the augmentation.
        augmentation: with `mixup`, `cutmix` or both.
        image_size: height and width.
    """
    key = tf.stack([tf.constant(seed + _PURPOSE, tf.int64), position // 2])
    draws = tf.random.stateless_uniform([3], key, alg="philox")
    choices = []
    if augmentation.mixup is not None:
        mixup = augmentation.mixup
        choices.append(lambda: _mixup_share(mixup, key, image_size))
    if augmentation.cutmix is not None:
        cutmix = augmentation.cutmix
        choices.append(lambda: _cutmix_share(cutmix, key, image_size, draws))
    if len(choices) == 1:
        return choices[0]()
    return tf.cond(draws[2] < 0.5, *choices)


def mix(images: tf.Tensor, labels: tf.Tensor, shares: tf.Tensor, classes: int):
    """Mixes each image of a batch with its neighbor.

    Args:
        images: float32 `(batch, height, width, channels)`, of even batch.
        labels: integer `(batch,)`.
        shares: float32 `(batch, height, width, 1)`, from `own_share`.
        classes: number of classes.

    Returns:
        The images, and labels as float32 `(batch, classes)`.
    """
    targets = tf.one_hot(labels, classes)
    kept = tf.reduce_mean(shares, axis=(1, 2))
    return _blend(images, shares), _blend(targets, kept)


def _blend(own: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(own)
    pairs = tf.reshape(own, tf.concat([[-1, 2], shape[1:]], axis=0))
    other = tf.reshape(pairs[:, ::-1], shape)
    return tf.ensure_shape(own * share + other * (1 - share), own.shape)
