"""The arguments that all networks share, checked where they enter."""

from pathlib import Path

import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.models import pytorch

DEFAULT_INPUT_SHAPE = (224, 224, 3)


def image_input(model: str, input_shape, input_tensor):
    """Returns the image tensor of a network and the Keras input that it comes from."""
    _checks.channels_last(model, None)
    if input_tensor is None:
        shape = DEFAULT_INPUT_SHAPE if input_shape is None else tuple(input_shape)
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                f"{model}: input_shape={input_shape!r} is not supported: pass "
                "(height, width, channels) without the batch, such as (224, 224, 3)."
            )
        image = tf.keras.Input(shape, name="image")
        return image, image
    if not isinstance(input_tensor, type(tf.keras.Input(()))):
        raise ValueError(
            f"{model}: input_tensor is a {type(input_tensor).__name__}, not a Keras tensor: "
            "pass the output of tf.keras.Input(...) or of a Keras layer."
        )
    if input_shape is not None and tuple(input_tensor.shape[1:]) != tuple(input_shape):
        raise ValueError(
            f"{model}: input_shape={tuple(input_shape)} contradicts the shape of "
            f"input_tensor, {tuple(input_tensor.shape[1:])}: leave input_shape out."
        )
    return input_tensor, tf.keras.utils.get_source_inputs(input_tensor)


def stem_channels(model: str, width: float) -> int:
    """Returns the channels of the stem, a multiple of 4 next to 32 times the width."""
    if not width > 0:
        raise ValueError(
            f"{model}: width={width!r} is not supported: pass a positive factor of the "
            "channels, such as 0.5."
        )
    return max(4, 4 * round(32 * width / 4))


def stage_strides(model: str, strides, stages: int) -> tuple[int, ...]:
    """Returns the strides of the stem and of the first block of each stage."""
    strides = tuple(strides)
    if len(strides) != stages or any(stride not in (1, 2) for stride in strides):
        raise ValueError(
            f"{model}: strides={strides} is not supported: pass {stages} numbers, each 1 or "
            "2, for the stem and the first block of each of the "
            f"{stages - 1} stages."
        )
    return strides


def classes(model: str, num_classes: int) -> int:
    """Returns the number of classes."""
    if type(num_classes) is not int or num_classes < 1:
        raise ValueError(
            f"{model}: num_classes={num_classes!r} is not supported: pass a positive integer."
        )
    return num_classes


def load_weights(model: tf.keras.Model, weights, official: pytorch.Layout) -> tf.keras.Model:
    """Loads a file of Keras weights or an official checkpoint into a network, if given."""
    if weights is None:
        return model
    path = Path(weights)
    if not path.exists():
        raise ValueError(
            f"{model.name}: weights={str(weights)!r} is neither a file nor a published name "
            "(none are published yet): pass the path to a .h5, .weights.h5 or .keras file, "
            f"to an official PyTorch checkpoint ({', '.join(pytorch.SUFFIXES)}), or None for "
            "random weights."
        )
    if path.name.endswith(pytorch.SUFFIXES):
        pytorch.load_checkpoint(model, path, official)
    else:
        model.load_weights(path)
    return model
