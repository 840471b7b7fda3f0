"""What kind of file is wanted, and whether a model can give it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from larq_bcd._choices import INPUT_TYPES, OUTPUT_TYPES, PASSES, STEMS
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
        stem: what the first convolutions compute in, `"float32"`, or `"int8"` with the ranges
            of a calibration.
        ops: `"lce"`, or `"builtin"` for operators of TensorFlow Lite alone.
        input_type: `"float32"`, or `"uint8"` or `"int8"` for images of pixels as they are; for
            a model of unknown preprocessing `"int8"` is what it quantizes its inputs to.
        output_type: `"float32"`, or `"int8"` for what the outputs are quantized to.
        default_int8_range: the least and the largest value of everything that has no fake
            quantization, with which the file is good for measuring latency only.
        dense_as_convolution: whether dense layers of binary kernels and inputs ship as binary
            1x1 convolutions, which compute the same.
        description: preprocessing and class names, for the metadata; by default what the
            model says of itself.
        recipe_sha256: of the recipe that the model was trained with, for the metadata.
    """

    passes: Sequence[str] = tuple(PASSES)
    head: str = "float32"
    stem: str = "float32"
    ops: str = "lce"
    input_type: str = "float32"
    output_type: str = "float32"
    default_int8_range: tuple[float, float] | None = None
    dense_as_convolution: bool = False
    description: Description | None = None
    recipe_sha256: str | None = None


def described(model: tf.keras.Model, options: FileOptions) -> Description:
    """What the file is to say of itself, and how its images are encoded."""
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
    if options.stem not in STEMS:
        raise ConversionError(
            f"stem={options.stem!r} is not supported: give one of {', '.join(STEMS)}."
        )
    if options.output_type not in OUTPUT_TYPES:
        raise ConversionError(
            f"output_type={options.output_type!r} is not supported: give one of "
            f"{', '.join(OUTPUT_TYPES)}."
        )
    if options.default_int8_range is not None:
        _require_range(options, options.default_int8_range)
    preprocessing = known.preprocessing
    shapes = [tuple(one.shape[1:]) for one in model.inputs]
    # What computes in less than float32 ships in it.
    dtypes = [
        "float32" if one.dtype in (tf.float16, tf.bfloat16) else one.dtype.name
        for one in model.inputs
    ]
    if preprocessing is None:
        _require_known(options.input_type, dtypes)
        return known
    if preprocessing.input_shape not in shapes:
        raise ConversionError(
            f"the preprocessing makes images of shape {preprocessing.input_shape}, but the "
            f"model takes {', '.join(map(str, shapes))}: change its image_size, mean or std."
        )
    dtype = dtypes[shapes.index(preprocessing.input_shape)]
    if options.input_type not in ("float32", dtype) and dtype != "float32":
        raise _nothing_to_normalize(options.input_type, dtype)
    if dtype not in INPUT_TYPES:  # whole numbers of other sizes, as they are
        return replace(known, preprocessing=None)
    encoding = options.input_type if dtype == "float32" else dtype
    return replace(known, preprocessing=replace(preprocessing, encoding=encoding))


def _require_range(options: FileOptions, given: tuple[float, ...]) -> None:
    if len(given) != 2 or not given[0] < given[1]:
        raise ConversionError(
            f"default_int8_range={given}: give the least and the largest value, such as -3,3."
        )
    if (options.head, options.stem) != ("float32", "float32") or options.ops == "builtin":
        raise ConversionError(
            "default_int8_range: with it stem and head are in int8, and built-in operators "
            "alone do not compute what is binary: leave stem, head and ops out."
        )


def require_calibration(options: FileOptions, is_given: bool) -> None:
    """Raises an error if there are no ranges for int8, or nothing that they are for."""
    if options.stem == "int8" and not is_given:
        raise ConversionError(
            "stem='int8': the range of what the stem computes is not known: give images, "
            "--calibrate FOLDER, or an array as `calibration` in Python."
        )
    if options.stem != "int8" and is_given:
        raise ConversionError(
            "calibrate: the stem alone is quantized by ranges, and it is to stay in "
            f"{options.stem}; a head of int8 has int8 weights, and needs none: give --stem "
            "int8 too, or leave it out."
        )


def _require_known(input_type: str, dtypes: list[str]) -> None:
    """Raises an error if a file would have to normalize pixels in a way that is not known."""
    if input_type == "float32" or input_type in dtypes:
        return
    if input_type == "int8" and "float32" in dtypes:
        return  # what the model quantizes its inputs to, if it does
    if "float32" not in dtypes:
        raise _nothing_to_normalize(input_type, " and ".join(dict.fromkeys(dtypes)))
    raise ConversionError(
        f"input_type={input_type!r}: the file would normalize pixels, but the preprocessing of "
        "the model is not known: give --mean and --std."
    )


def _nothing_to_normalize(input_type: str, dtype: str) -> ConversionError:
    return ConversionError(
        f"input_type={input_type!r}: the model takes {dtype}, not float32, so that there is "
        "nothing to normalize: leave it out."
    )


def require_types(content: bytes, options: FileOptions) -> None:
    """Looks into what will be written: the converter is known to ignore what it is asked."""
    file = Graph(content)
    given = [str(value.dtype) for value in file.outputs]
    if options.output_type != "float32" and set(given) != {options.output_type}:
        raise ConversionError(
            f"output_type={options.output_type!r} was not applied: the file gives {given}."
        )
    dtypes = [str(value.dtype) for value in file.inputs]
    if options.input_type != "float32" and options.input_type not in dtypes:
        raise ConversionError(
            f"input_type={options.input_type!r} was not applied: the file takes {dtypes}."
        )
