"""A split's images decoded once and held in memory, for data sets of small images.

For an image of 32x32, what surrounds the decoding takes as long as a small network's step on
it. Of images that are held as pixels, at the network's size, a batch is a gather.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from larq_bcd.data import images, mixing, python_calls, stream, transforms
from larq_bcd.data.augmentation import Augmentation
from larq_bcd.data.batches import check_batch
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.data.sources import Source

LIMIT = 1 << 30
_AT_ONCE = 256


def size(source: Source, preprocessing: Preprocessing) -> int:
    """Returns how many bytes the images of a source take as pixels of the network's size."""
    return source.num_examples * math.prod(preprocessing.input_shape)


def suits(
    source: Source, preprocessing: Preprocessing, augmentations: list[Augmentation]
) -> bool:
    """Whether a source can be held: at most 1 GiB, and nothing is cropped from the file."""
    small = size(source, preprocessing) <= LIMIT
    return small and not any(one.random_resized_crop for one in augmentations)


class Decoded:
    """Every image of a source, for any number of trainings on it.

    Args:
        source: a split.
        preprocessing: sizes and statistics.

    Raises:
        UserError: if more than 1 % of the images are broken.
    """

    def __init__(self, source: Source, preprocessing: Preprocessing):
        self._source = source
        self._preprocessing = preprocessing
        pixels = np.empty((source.num_examples, *preprocessing.input_shape), np.uint8)
        labels = np.empty(source.num_examples, np.int64)
        done = 0
        broken = []
        with ThreadPoolExecutor() as pool:
            for contents, theirs in source.contents().batch(_AT_ONCE).as_numpy_iterator():
                labels[done : done + len(theirs)] = theirs
                for image in pool.map(self._read, contents):
                    if isinstance(image, ValueError):
                        broken.append(done)
                        self._note_broken(done, str(image))
                    else:
                        pixels[done] = image
                    done += 1
        for index in broken:
            # As many as there are, some image is sound: an error came at 1 %.
            ahead = (i % done for i in range(index + 1, index + done))
            sound = next(i for i in ahead if i not in broken)
            pixels[index], labels[index] = pixels[sound], labels[sound]
        with tf.device("/cpu:0"):
            self._images, self._labels = map(tf.convert_to_tensor, (pixels, labels))

    def _read(self, contents: bytes) -> np.ndarray | ValueError:
        try:
            image = images.decode(contents, self._preprocessing.channels)
            return images.fit(image, self._preprocessing)
        except ValueError as error:
            return error

    def _note_broken(self, index: int, why: str) -> None:
        (path,), (offset,), _ = self._source.locate(np.array([index]))
        self._source.note_broken(self._source.describe(path, int(offset)), why)

    def training_batches(
        self,
        augmentation: Augmentation,
        batch_size: int,
        *,
        seed: int,
        first_step: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """Returns the batches of `larq_bcd.data.training_batches`, to the last bit."""
        check_batch(augmentation, batch_size)
        first = first_step * batch_size * shard[1]

        def located():
            for window in stream.windows(self._source.groups, seed, first):
                yield stream.share(window, first, batch_size, shard)

        def batch(positions, examples):
            augmented = transforms.training_images(
                tf.gather(self._images, examples),
                positions,
                seed,
                self._preprocessing,
                augmentation,
            )
            labels = tf.gather(self._labels, examples)
            if not augmentation.mixes:
                return augmented, labels
            shares = tf.map_fn(
                lambda position: mixing.own_share(
                    position, seed, augmentation, self._preprocessing.image_size
                ),
                positions,
                fn_output_signature=tf.float32,
            )
            return mixing.mix(augmented, labels, shares, self._source.num_classes)

        integers = tf.TensorSpec([None], tf.int64)
        locations = tf.data.Dataset.from_generator(
            python_calls.generating(located), output_signature=(integers, integers)
        )
        batches = locations.unbatch().batch(batch_size, drop_remainder=True)
        return batches.map(batch, tf.data.AUTOTUNE, deterministic=True).prefetch(2)
