"""Pipelines of training and evaluation batches, as `tf.data`.

Both are functions of their arguments alone: whichever process reads a batch, and from
wherever a run goes on, it has the same images.
"""

import os

import numpy as np
import tensorflow as tf

from larq_bcd.data import broken, mixing, python_calls, stream, transforms
from larq_bcd.data.augmentation import Augmentation
from larq_bcd.data.opening import open_source
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.data.sources import Source
from larq_bcd.errors import UserError

__all__ = ["evaluation_batches", "open_source", "training_batches"]

_INTEGERS = tf.TensorSpec([None], tf.int64)
# Position in the stream, index in the source, path, offset and label.
_LOCATED = (_INTEGERS, _INTEGERS, tf.TensorSpec([None], tf.string), _INTEGERS, _INTEGERS)


def training_batches(
    source: Source,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    batch_size: int,
    *,
    seed: int,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Returns augmented batches without end.

    The batch of step k of shard i of n is the i-th part of the k-th global batch of
    `n * batch_size` examples, which is the same for every n. Starting at a later step costs
    no more than starting at the first.

    Args:
        source: a split.
        preprocessing: sizes and statistics.
        augmentation: what is random.
        batch_size: examples of this shard in each step.
        seed: of the order and of the augmentation, not negative.
        first_step: index of the step of the first batch.
        shard: index of this shard, and their number.

    Returns:
        Batches `(images, labels)` of float32 `(batch_size, height, width, channels)` and
        int64 `(batch_size,)`, or with mixup or cutmix float32 `(batch_size, classes)`.

    Raises:
        UserError: if pairs are mixed and the batch is odd.
    """
    check_batch(augmentation, batch_size)
    _check_shard(shard)
    first = first_step * batch_size * shard[1]

    def located():
        for window in stream.windows(source.groups, seed, first):
            positions, examples = stream.share(window, first, batch_size, shard)
            if len(positions):
                yield (positions, examples, *source.locate(examples))

    def example(contents, label, position):
        image = transforms.training_image(contents, position, seed, preprocessing, augmentation)
        if not augmentation.mixes:
            return image, label
        share = mixing.own_share(position, seed, augmentation, preprocessing.image_size)
        return image, label, share

    examples = _examples(source, located, example, broken.next_sound)
    batches = examples.batch(batch_size, drop_remainder=True)
    if augmentation.mixes:
        batches = batches.map(
            lambda images, labels, shares: mixing.mix(
                images, labels, shares, source.num_classes
            ),
            tf.data.AUTOTUNE,
        )
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    source: Source,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Returns the batches of a split in the order of the source, once.

    Args:
        source: a split.
        preprocessing: sizes, statistics and encoding.
        batch_size: examples of a batch; the last may have fewer.
        shard: index of this shard, and their number; each has every n-th example.

    Returns:
        Batches `(images, labels)` of `(batch, height, width, channels)` in the encoding, by
        default float32, and int64 `(batch,)`. Broken images are left out.
    """
    _check_shard(shard)

    def located():
        examples = np.setdiff1d(np.arange(source.num_examples), source.gone)
        examples = examples[shard[0] :: shard[1]]
        if len(examples):
            yield (examples, examples, *source.locate(examples))

    def example(contents, label, position):
        return transforms.evaluation_image(contents, preprocessing), label

    examples = _examples(source, located, example, broken.nothing)
    return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def check_batch(augmentation: Augmentation, batch_size: int) -> None:
    """Refuses an odd batch of which pairs are mixed."""
    if augmentation.mixes and batch_size % 2:
        raise UserError(
            f"batch_size={batch_size} is odd, but mixup and cutmix mix pairs of images: make "
            "it even in every process."
        )


def _check_shard(shard: tuple[int, int]) -> None:
    if not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard={shard} is not supported: pass (index, count), index < count.")


def _examples(source: Source, located, example, in_place_of) -> tf.data.Dataset:
    """Reads, decodes and augments in parallel and in order.

    Args:
        source: where the examples are read.
        located: generator function of what `_LOCATED` describes.
        example: function of contents, label and position.
        in_place_of: function of the source and of index, path, offset and label of an
            example that failed, to a data set of the contents and the label, if any, that
            take its place.
    """

    @tf.autograph.experimental.do_not_convert
    def one(position, index, path, offset, label):
        def at_position(contents, label):
            return example(contents, label, position)

        # Without the failures of what it reads; what replaces it may fail the pipeline.
        there = source.read(path, offset, label).map(at_position).ignore_errors()
        other = in_place_of(source, index, path, offset, label).map(at_position)
        return there.concatenate(other).take(1)

    locations = tf.data.Dataset.from_generator(
        python_calls.generating(located), output_signature=_LOCATED
    )
    return (
        locations.prefetch(1)
        .unbatch()
        .interleave(
            one,
            cycle_length=max(16, 2 * (os.cpu_count() or 1)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    )
