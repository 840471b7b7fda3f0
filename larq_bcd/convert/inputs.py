"""The inputs on which a flatbuffer is checked against its Keras model, or calibrated."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from larq_bcd._choices import INPUT_TYPES
from larq_bcd._names import did_you_mean
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.interface import input_names
from larq_bcd.data import images
from larq_bcd.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

ARRAYS = (".npy", ".npz")

# What else a user can do, by the option that names a path.
_OTHERWISE = {"check-inputs": ", or leave it out to check on noise", "calibrate": ""}


def noise(
    model: tf.keras.Model,
    count: int,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
) -> list[np.ndarray]:
    """Random inputs in a range of values that suits a model.

    Images are smooth with grain. What selects from a table, as an `Embedding` does, is an
    index of it.

    Args:
        model: a model whose inputs have fixed shapes.
        count: the number of samples.
        preprocessing: of the inputs of its shape, or None if it is not known. Then the values
            are those of pixels if the model begins with what scales pixels, or takes integers,
            and else those that networks usually take.
        seed: the same seed gives the same inputs.

    Returns:
        One array for each input, of its type and of shape (count, *input_shape).

    Raises:
        ConversionError: if an input takes texts.
    """
    rng = np.random.default_rng(seed)
    limits = _index_limits(model)
    takes_pixels = _scales_pixels(model)
    arrays = []
    for tensor, name, limit in zip(model.inputs, input_names(model), limits, strict=True):
        shape, dtype = (count, *tensor.shape[1:]), tensor.dtype
        if dtype == tf.string:
            raise ConversionError(
                f"the input '{name}' takes texts, which Larq Compute Engine does not: let the "
                "model begin with the numbers that are made of them."
            )
        if limit is not None or dtype == tf.bool:
            values = rng.integers(0, limit or 2, shape)
        else:
            values = _values(_pixels(rng, shape), dtype, preprocessing, takes_pixels)
        arrays.append(values.astype(dtype.as_numpy_dtype))
    return arrays


def _values(
    pixels: np.ndarray,
    dtype: tf.DType,
    preprocessing: Preprocessing | None,
    takes_pixels: bool,
) -> np.ndarray:
    """What an input of some type may be given, made of numbers of 0 to 255."""
    shape = pixels.shape[1:]
    if preprocessing is not None and preprocessing.input_shape == shape:
        return _prepared(pixels, preprocessing, dtype)
    if dtype == tf.int8:
        return pixels - 128
    if takes_pixels or not dtype.is_floating:
        return pixels
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if shape[-1:] == (3,) else (0.5, 0.25)
    return (pixels / 255 - mean) / std


def _pixels(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) != 4:
        return 255 * rng.uniform(0, 1, shape)
    count, height, width, channels = shape
    coarse = rng.uniform(-0.2, 1.2, (count, 4, 4, channels))
    smooth = tf.image.resize(coarse, (height, width), method="bicubic").numpy()
    grain = rng.normal(0, 0.1, (count, height, width, channels))
    return 255 * np.clip(smooth + grain, 0, 1)


def _prepared(pixels: np.ndarray, preprocessing: Preprocessing, dtype: tf.DType) -> np.ndarray:
    """Pixels of 0 to 255 as an input of some type takes them."""
    if dtype.is_floating:
        return preprocessing.normalized(pixels)
    if dtype.name not in INPUT_TYPES:
        return pixels
    return replace(preprocessing, encoding=dtype.name).encoded(pixels.astype(np.uint8))


def _scales_pixels(model: tf.keras.Model) -> bool:
    layers = [x for x in model.layers if not isinstance(x, tf.keras.layers.InputLayer)]
    scaling = tf.keras.layers.Rescaling | tf.keras.layers.Normalization
    return any(isinstance(layer, scaling) for layer in layers[:1])


def _index_limits(model: tf.keras.Model) -> list[int | None]:
    """By which number the indices end that each input may hold; None where it holds values."""
    if all(one.dtype.is_floating and len(one.shape) == 4 for one in model.inputs):
        return [None] * len(model.inputs)
    graph = InferenceGraph(model)
    return [graph.index_limit(one) for one in graph.inputs]


def photographs(
    folder: Path,
    count: int,
    model: tf.keras.Model,
    preprocessing: Preprocessing | None,
    option: str = "check-inputs",
) -> list[np.ndarray]:
    """Reads images as the model's preprocessing says.

    Args:
        folder: searched with its sub-folders, in alphabetic order.
        count: the largest number of images to read, evenly spread over all that there are.
        model: the model that takes them.
        preprocessing: the model's, or None if it is not known.
        option: by which the folder is given, for messages.

    Returns:
        One array of shape (images, height, width, channels), of the type of the model's input.

    Raises:
        ConversionError: if the model takes something else than images or its preprocessing is
            not known, or the folder is missing or holds none.
        UserError: if it holds one that cannot be read.
    """
    shapes = [tuple(one.shape[1:]) for one in model.inputs]
    if len(shapes) != 1:
        raise ConversionError(
            f"{option} {folder}: a folder has images for one input, but the model has "
            f"{len(shapes)} ({', '.join(input_names(model))}): give an .npz file that has an "
            "array for each."
        )
    (shape,) = shapes
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ConversionError(
            f"{option} {folder}: a folder has images, but the model's input has shape {shape}: "
            f"give an .npy file{_OTHERWISE[option]}."
        )
    if not folder.is_dir():
        raise ConversionError(
            f"{option} {folder} is not a folder: name one with images, or an "
            f"{' or '.join(ARRAYS)} file."
        )
    paths = images.find(folder)
    if not paths:
        raise ConversionError(
            f"{option} {folder} holds no images: put some there "
            f"({', '.join(images.SUFFIXES)}){_OTHERWISE[option]}."
        )
    if preprocessing is None:
        raise ConversionError(
            f"{option} {folder}: the preprocessing of the model is not known, so that images "
            f"cannot be prepared: give --mean and --std{_OTHERWISE[option]}."
        )
    spread = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    pixels = np.stack([images.read_pixels(paths[i], preprocessing) for i in spread])
    dtype = model.inputs[0].dtype
    return [_prepared(pixels, preprocessing, dtype).astype(dtype.as_numpy_dtype)]


def saved_arrays(
    path: Path, count: int, model: tf.keras.Model, option: str = "check-inputs"
) -> list[np.ndarray]:
    """Reads samples that were saved with NumPy, as the model takes them.

    Args:
        path: an `.npy` file for a model of one input, or an `.npz` file that has an array for
            each input by its name.
        count: the largest number of samples to read.
        model: the model that takes them.
        option: by which the file is given, for messages.

    Returns:
        One array for each input, of its type.

    Raises:
        ConversionError: if it cannot be read, or does not fit the model.
    """
    try:
        found = np.load(path, allow_pickle=False)
        known = dict(found) if isinstance(found, Mapping) else {"": found}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConversionError(
            f"{option} {path} cannot be read ({error}): save numbers with numpy.save or "
            "numpy.savez."
        ) from error
    return given_arrays(known, model, f"{option} {path}", count)


def given_arrays(
    known: Mapping[str, np.ndarray],
    model: tf.keras.Model,
    origin: str,
    count: int | None = None,
) -> list[np.ndarray]:
    """Samples by the names of the inputs, as arrays in the order of a model's inputs.

    Args:
        known: an array for each input by its name; one without a name is for the only input.
        model: the model.
        origin: where they come from, for messages.
        count: the largest number of samples to take, None for all.

    Raises:
        ConversionError: if they do not fit the model.
    """
    names = input_names(model)
    if list(known) == [""]:
        if len(names) > 1:
            raise ConversionError(
                f"{origin} has one array, but the model has {len(names)} inputs: give an .npz "
                f"file with an array for each, numpy.savez(file, {_example(names)})."
            )
        known = {names[0]: known[""]}
    if missing := [name for name in names if name not in known]:
        meant = did_you_mean(missing[0], set(known) - set(names), " Of those that it has, ")
        raise ConversionError(
            f"{origin} has no array '{missing[0]}' but {', '.join(map(repr, known))}: save one "
            f"for each input, numpy.savez(file, {_example(names)}).{meant}"
        )
    if unknown := [name for name in known if name not in names]:
        raise ConversionError(
            f"{origin} has an array '{unknown[0]}', but the model's inputs are "
            f"{', '.join(map(repr, names))}: leave it out."
        )
    arrays = []
    for name, tensor in zip(names, model.inputs, strict=True):
        array = known[name]
        wanted = tensor.dtype.as_numpy_dtype
        shape = tuple(tensor.shape[1:])
        if array.ndim != 1 + len(shape) or array.shape[1:] != shape or not len(array):
            raise ConversionError(
                f"{origin}: the array for '{name}' has shape {array.shape}, but it has to be "
                f"{('samples', *shape)}, with at least one sample."
            )
        if not np.can_cast(array.dtype, wanted, "same_kind"):
            raise ConversionError(
                f"{origin}: the array for '{name}' has type {array.dtype}, but the input takes "
                f"{tensor.dtype.name}: save it with .astype('{tensor.dtype.name}')."
            )
        array, given = array[:count].astype(wanted), array[:count]
        if array.dtype.kind in "iu" and not np.array_equal(array, given):
            raise ConversionError(
                f"{origin}: the array for '{name}' has values from {given.min()} to "
                f"{given.max()}, which {tensor.dtype.name} does not hold: give others."
            )
        arrays.append(array)
    counts = {name: len(known[name]) for name in names}
    if len(set(counts.values())) > 1:
        raise ConversionError(
            f"{origin} has more samples of some inputs than of others ({counts}): give equally "
            "many of each."
        )
    return arrays


def _example(names: list[str]) -> str:
    return ", ".join(f"{name}={name}" for name in names)
