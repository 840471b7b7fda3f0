"""What kind of file is wanted, and whether a model can give it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from larq_bcd._choices import INPUT_TYPES, PASSES
from larq_bcd.convert.errors import ConversionError
from larq_bcd.data.preprocessing import Description
from larq_bcd.models import description_of
from larq_bcd.tflite.graph import Graph


@dataclass(frozen=True)
class FileOptions:
    """What kind of file is wanted.

    Attributes:
        passes: names of the passes over the flatbuffer, of `passes.PASSES`.
        head: type of the weights of the dense layers before the outputs, of `head.HEADS`.
        ops: `"lce"`, or `"builtin"` for operators of TensorFlow Lite alone.
        input_type: `"float32"`, or `"uint8"` or `"int8"` for pixels as they are.
        dense_as_convolution: whether dense layers of binary kernels and inputs ship as binary
            1x1 convolutions, which compute the same.
        description: preprocessing and class names, for the metadata; by default what the
            model says of itself.
        recipe_sha256: of the recipe that the model was trained with, for the metadata.
    """

    passes: Sequence[str] = tuple(PASSES)
    head: str = "float32"
    ops: str = "lce"
    input_type: str = "float32"
    dense_as_convolution: bool = False
    description: Description | None = None
    recipe_sha256: str | None = None


def described(model: tf.keras.Model, options: FileOptions) -> Description:
    """What the file is to say of itself, and how its input is encoded."""
    known = description_of(model) if options.description is None else options.description
    if options.input_type not in INPUT_TYPES:
        raise ConversionError(
            f"input_type={options.input_type!r} is not supported: give one of "
            f"{', '.join(INPUT_TYPES)}."
        )
    if options.dense_as_convolution and options.ops == "builtin":
        raise ConversionError(
            "dense_as_convolution: with ops='builtin' nothing is binary: leave one of them out."
        )
    dtype, shape = model.inputs[0].dtype.name, tuple(model.inputs[0].shape[1:])
    if options.input_type != "float32" and dtype not in ("float32", options.input_type):
        raise ConversionError(
            f"input_type={options.input_type!r}: the model takes {dtype}, not float32, so that "
            "there is nothing to normalize: leave it out."
        )
    if known.preprocessing is None:
        if options.input_type not in ("float32", dtype):
            raise ConversionError(
                f"input_type={options.input_type!r}: the file would normalize pixels, but the "
                "preprocessing of the model is not known: give --mean and --std."
            )
        return known
    if known.preprocessing.input_shape != shape:
        raise ConversionError(
            f"the preprocessing makes images of shape {known.preprocessing.input_shape}, but "
            f"the model takes {shape}: change its image_size, mean or std."
        )
    if dtype not in ("float32", *INPUT_TYPES):  # whole numbers of other sizes, as they are
        return replace(known, preprocessing=None)
    encoding = options.input_type if dtype == "float32" else dtype
    return replace(known, preprocessing=replace(known.preprocessing, encoding=encoding))


def require_types(content: bytes, options: FileOptions) -> None:
    """Looks into what will be written: the converter is known to ignore what it is asked."""
    dtypes = [str(value.dtype) for value in Graph(content).inputs]
    if options.input_type != "float32" and dtypes != [options.input_type]:
        raise ConversionError(
            f"input_type={options.input_type!r} was not applied: the file takes {dtypes}."
        )
