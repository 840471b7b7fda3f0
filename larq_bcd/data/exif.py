"""The orientation that a camera notes beside the pixels, which TensorFlow does not read."""

import struct

import numpy as np
import tensorflow as tf

_ORIENTATION = 0x0112


def orientation(contents: bytes) -> int:
    """Returns the EXIF orientation of a JPEG, 1 to 8; 1, upright, where it says none."""
    place = 2
    while contents[place : place + 1] == b"\xff":
        marker, length = struct.unpack_from(">BH", contents, place + 1)
        if marker == 0xDA:  # the pixels start
            break
        if marker == 0xE1 and contents[place + 4 : place + 10] == b"Exif\0\0":
            return _of_tiff(contents[place + 10 : place + 2 + length])
        place += 2 + length
    return 1


def _of_tiff(tiff: bytes) -> int:
    order = "<" if tiff[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
    for entry in range(entries):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
        if tag == _ORIENTATION:
            return value if 1 <= value <= 8 else 1
    return 1


def _safe_orientation(contents) -> np.int32:
    try:
        return np.int32(orientation(np.asarray(contents).item()))  # eager, it is an array
    except struct.error:  # notes that are cut short leave the image as it is
        return np.int32(1)


def upright(contents: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors a decoded image as its file asks for.

    Args:
        contents: scalar string, the bytes of the file.
        image: `(height, width, channels)`.
    """
    # A camera's notes come first, at most behind a JFIF header of 18 bytes.
    start = tf.strings.substr(contents, 0, 40)
    noted = tf.strings.length(tf.strings.split(start, "Exif")[0]) < tf.strings.length(start)

    def turned() -> tf.Tensor:
        code = tf.numpy_function(_safe_orientation, [contents], tf.int32, stateful=False)
        code = tf.reshape(code, [])
        # 5 to 8 are transposed; then 2 and 6 ... mirror rows or columns.
        result = tf.cond(code >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        rows = tf.reduce_any(code == tf.constant([3, 4, 7, 8]))
        columns = tf.reduce_any(code == tf.constant([2, 3, 6, 7]))
        result = tf.cond(rows, lambda: result[::-1], lambda: result)
        return tf.cond(columns, lambda: result[:, ::-1], lambda: result)

    result = tf.cond(noted, turned, lambda: image)
    result.set_shape((None, None, image.shape[-1]))
    return result
