"""Checks of the arguments that several layers share."""

import operator

import tensorflow as tf


def positive_integer(layer: str, name: str, value, example: str = "") -> int:
    """Returns an argument that has to be a positive integer, Python's or NumPy's, as an int."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(
            f"{layer}: {name}={value!r} is not supported: pass a positive integer{example}."
        )
    return number


def channels_last(layer: str, data_format: str | None) -> str:
    """Returns the data format, which has to be NHWC, for a layer to keep."""
    data_format = data_format or tf.keras.backend.image_data_format()
    if data_format != "channels_last":
        raise ValueError(
            f"{layer}: data_format={data_format!r} is not supported, only 'channels_last' "
            "(NHWC): transpose the input with tf.keras.layers.Permute((2, 3, 1)), and pass "
            "data_format='channels_last' or call "
            "tf.keras.backend.set_image_data_format('channels_last')."
        )
    return data_format


def channels(layer: str, input_shape) -> int:
    """Returns the static number of channels of an NHWC input."""
    shape = tf.TensorShape(input_shape)
    if shape.rank != 4 or shape[-1] is None:
        raise ValueError(
            f"{layer}: input shape {tuple(shape) if shape.rank else shape} is not supported: "
            "give the layer a 4-D NHWC tensor with a fixed number of channels."
        )
    return shape[-1]


def divisible_channels(layer: str, count: int, divisor: int, argument: str) -> None:
    """Raises a ValueError unless `count` channels fall into `divisor` equal groups."""
    if count % divisor:
        raise ValueError(
            f"{layer}: the input has {count} channels, which do not divide by "
            f"{argument} {divisor}: use {count // divisor * divisor or divisor} or "
            f"{(count // divisor + 1) * divisor} channels."
        )
