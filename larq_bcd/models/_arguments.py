"""The arguments that all networks share, checked where they enter."""

import math
import operator
import os
import zipfile
from collections.abc import Collection
from pathlib import Path

import h5py
import tensorflow as tf

from larq_bcd._hdf5 import load_legacy_weights, other_file_of_weights
from larq_bcd.errors import UserError
from larq_bcd.layers import _checks
from larq_bcd.models import pytorch
from larq_bcd.models.state_dict import SUFFIXES, is_checkpoint


def require_model(model) -> None:
    """Refuses what is not a model of Keras 2."""
    if isinstance(model, tf.keras.Model):
        return
    if any(one.__module__.startswith("keras.") for one in type(model).__mro__):
        raise UserError(
            "model is of Keras 3, and this package is of Keras 2: import larq_bcd first, and "
            "take Model and all layers from tf.keras."
        )
    raise UserError(
        f"model is a {type(model).__name__}, not a Keras model: pass one, such as "
        "larq_bcd.models.get_model(name) or tf.keras.models.load_model(path)."
    )


def image_input(input_shape, input_tensor, default_shape: tuple[int, int, int]):
    """Returns the image tensor of a network and the Keras input that it comes from."""
    _checks.channels_last("the network", None)
    if input_tensor is None:
        shape = default_shape if input_shape is None else tuple(input_shape)
        if len(shape) != 3 or shape[-1] is None:
            raise UserError(
                f"input_shape={input_shape!r} is not supported: pass "
                "(height, width, channels) without the batch, such as (224, 224, 3)."
            )
        if shape[0] in (1, 3) and shape[-1] > 4:
            raise UserError(
                f"input_shape={shape} has the channels first: pass {(*shape[1:], shape[0])}, "
                "and images of (batch, height, width, channels)."
            )
        image = tf.keras.Input(shape, name="image")
        return image, image
    if type(input_tensor).__module__.startswith("keras."):
        raise UserError(
            "input_tensor is of Keras 3, and these networks are of Keras 2: import larq_bcd "
            "first, and take Input and all layers from tf.keras."
        )
    if not isinstance(input_tensor, type(tf.keras.Input(()))):
        raise UserError(
            f"input_tensor is a {type(input_tensor).__name__}, not a Keras tensor: "
            "pass the output of tf.keras.Input(...) or of a Keras layer."
        )
    if input_shape is not None and tuple(input_tensor.shape[1:]) != tuple(input_shape):
        raise UserError(
            f"input_shape={tuple(input_shape)} contradicts the shape of "
            f"input_tensor, {tuple(input_tensor.shape[1:])}: leave input_shape out."
        )
    return input_tensor, tf.keras.utils.get_source_inputs(input_tensor)


def scaled_channels(base: int, width: float) -> int:
    """Returns the multiple of 4 next to `base` times the width."""
    if not width > 0:
        raise UserError(
            f"width={width!r} is not supported: pass a positive factor of the channels, such "
            "as 0.5."
        )
    return max(4, 4 * round(base * width / 4))


def stage_strides(strides, stages: int) -> tuple[int, ...]:
    """Returns the strides of the stem and of the first block of each stage."""
    steps = tuple(_integer(stride) for stride in strides)
    if len(steps) != stages or not set(steps) <= {1, 2}:
        raise UserError(
            f"strides={tuple(strides)} is not supported: pass {stages} numbers, each 1 or 2, "
            f"for the stem and the first block of each of the {stages - 1} stages."
        )
    return steps


def check_mlp_stage(x, strides: tuple[int, ...]) -> None:
    """Refuses a feature map that leaves an MLP stage nothing to shift.

    Args:
        x: the feature map, `(batch, height, width, channels)`.
        strides: the strides that have led to it.
    """
    sides = [side for side in x.shape[1:3] if side is not None]
    if not sides or min(sides) > 1:
        return
    total = math.prod(strides)
    suited = list(strides)
    while math.prod(suited) > min(sides) * total / 4 and 2 in suited:
        suited[suited.index(2)] = 1
    raise UserError(
        f"strides={strides} leave a feature map of {x.shape[1]}x{x.shape[2]} to the MLP stage, "
        f"in which nothing can be shifted: for images of this size pass {tuple(suited)}, which "
        "leave 4x4, or larger images."
    )


def depths(name: str, counts, stages: int) -> tuple[int, ...]:
    """Returns the number of blocks of each stage."""
    numbers = tuple(_integer(count) for count in counts)
    if len(numbers) != stages or min(numbers) < 1:
        raise UserError(
            f"{name}={tuple(counts)} is not supported: pass {stages} positive integers, one "
            "for each stage."
        )
    return numbers


def positive(name: str, value: int) -> int:
    """Returns a positive integer."""
    number = _integer(value)
    if number < 1:
        raise UserError(f"{name}={value!r} is not supported: pass a positive integer.")
    return number


def _integer(value) -> int:
    """An integer of Python's or of NumPy's as an int, and 0 of anything else."""
    try:
        return 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return 0


def load_weights(
    model: tf.keras.Model,
    weights,
    published: Collection[str],
    official: pytorch.Layout | None,
) -> tf.keras.Model:
    """Loads a file of Keras weights or an official checkpoint.

    Args:
        model: what gets them.
        weights: the path.
        published: names that might have been given instead.
        official: what the official checkpoint is like, if there is one.
    """
    if not isinstance(weights, str | os.PathLike):
        raise UserError(
            f"{model.name}: weights={weights!r} is a {type(weights).__name__}: pass the path "
            "to a file, a published name, or None for random weights."
        )
    path = Path(weights).expanduser()
    if path.is_dir():
        raise UserError(
            f"{model.name}: weights={str(weights)!r} is a folder: pass the path to a .h5, "
            ".weights.h5 or .keras file, such as the model.keras of a training."
        )
    if not path.exists():
        checkpoint = (
            f"to an official PyTorch checkpoint ({', '.join(SUFFIXES)}), " if official else ""
        )
        raise UserError(
            f"{model.name}: weights={str(weights)!r} is neither a file nor a published name "
            f"({', '.join(published) or 'none are published yet'}): pass the path to a .h5, "
            f".weights.h5 or .keras file, {checkpoint}or None for random weights."
        )
    if is_checkpoint(path):
        if official is None:
            raise UserError(
                f"{model.name}: weights={str(weights)!r} is a PyTorch checkpoint, and there is "
                "no official one of this network: pass a .h5, .weights.h5 or .keras file."
            )
        pytorch.load_checkpoint(model, path, official)
    else:
        _load_keras_weights(model, path)
    return model


def _load_file(model: tf.keras.Model, path: Path) -> None:
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            group = file.get("model_weights", file)
            if "layer_names" in group.attrs:
                load_legacy_weights(model, group)
                return
    model.load_weights(path)


def _load_keras_weights(model: tf.keras.Model, path: Path) -> None:
    try:
        other = other_file_of_weights(path)
        if other is None:
            _load_file(model, path)
    # What Keras, h5py and zipfile make of a file of another kind, a damaged one, and one of
    # other layers or shapes.
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{model.name}: weights={str(path)!r} cannot be loaded ({reason}): pass a .h5, "
            ".weights.h5 or .keras file of a network that was built with the same arguments."
        ) from error
    if other is not None:
        raise UserError(
            f"{model.name}: weights={str(path)!r} takes weights from another file, {other}, as "
            "no file of Keras's does: pass a file that holds all of them."
        )
