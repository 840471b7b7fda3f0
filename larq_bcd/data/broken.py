"""What comes in place of an image that cannot be decoded.

Images are not checked before they are used: on a million of them that would cost as much as
an epoch. A broken one is noticed when it is decoded, named and counted, and an error past
1 % of the images.
"""

import re

import numpy as np
import tensorflow as tf

from larq_bcd.data import images, transforms
from larq_bcd.data.sources import Source


def _why_broken(contents: bytes) -> str | None:
    """Returns the reader's complaint about an image, or None."""
    try:
        images.decode(contents, 3)
        transforms.decode(tf.constant(contents), 3)
    except tf.errors.InvalidArgumentError as error:
        # Without what locates the message in TensorFlow's graph.
        return re.sub(r"{{.*?}} | \[Op:.*", "", error.message.splitlines()[0])
    except ValueError as error:
        return str(error)
    return None


def _content(source: Source, path: bytes, offset: int, label: int) -> tuple[bytes, int]:
    """Reads an example, outside of the pipeline."""
    with tf.device("/cpu:0"):
        location = (tf.constant(path), tf.constant(offset), tf.constant(label))
        ((contents, label),) = source.read(*location).as_numpy_iterator()
    return contents, label


def _is_sound(source: Source, path: bytes, offset: int, contents: bytes) -> bool:
    why = _why_broken(contents)
    if why is not None:
        source.note_broken(source.describe(path, int(offset)), why)
    return why is None


def next_sound(source: Source, index, path, offset, label) -> tf.data.Dataset:
    """Returns a data set of the contents and the label of the next example that is sound.

    It is the next in the source, and so the same at every time.
    """

    def search(index, path, offset, label):
        for ahead in range(source.num_examples):
            if ahead:
                following = np.array([(index + ahead) % source.num_examples])
                (path,), (offset,), (label,) = source.locate(following)
            contents, found_label = _content(source, path, offset, label)
            if _is_sound(source, path, offset, contents):
                return contents, np.int64(found_label)
        raise AssertionError("every image is broken, and no error came at 1 %")

    def found(*location):
        contents, label = tf.numpy_function(search, location, (tf.string, tf.int64))
        return tf.ensure_shape(contents, []), tf.ensure_shape(label, [])

    return tf.data.Dataset.from_tensors((index, path, offset, label)).map(found)


def nothing(source: Source, index, path, offset, label) -> tf.data.Dataset:
    """Returns a data set without examples, and counts the broken one."""

    def check(path, offset, label):
        contents, label = _content(source, path, offset, label)
        return contents, np.int64(label), _is_sound(source, path, offset, contents)

    def checked(*location):
        contents, label, sound = tf.numpy_function(
            check, location, (tf.string, tf.int64, tf.bool)
        )
        return (
            tf.ensure_shape(contents, []),
            tf.ensure_shape(label, []),
            tf.ensure_shape(sound, []),
        )

    located = tf.data.Dataset.from_tensors((path, offset, label))
    # Sound after all, it was something else that failed, and will fail again.
    kept = located.map(checked).filter(lambda contents, label, sound: sound)
    return kept.map(lambda contents, label, sound: (contents, label))
