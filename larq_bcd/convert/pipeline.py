"""From a Keras model to a checked flatbuffer."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata

import numpy as np
import tensorflow as tf

from larq_bcd._choices import CHECK_INPUTS, INPUT_TYPES
from larq_bcd.convert import inputs as check_inputs
from larq_bcd.convert.builtin import PASSES_OF_WORDS, with_builtin_operators
from larq_bcd.convert.check import check
from larq_bcd.convert.compare import Comparison, compare
from larq_bcd.convert.errors import CheckError, ConversionError, FloatFallbackError
from larq_bcd.convert.fold import merge_heads
from larq_bcd.convert.graph import InferenceGraph, source_of
from larq_bcd.convert.head import quantize_head
from larq_bcd.convert.input_type import set_input_type
from larq_bcd.convert.lce import as_float32, convert_model
from larq_bcd.convert.load import require_convertible, weights_size
from larq_bcd.convert.match import Match, match_layers
from larq_bcd.convert.passes import (
    PASSES,
    optimize,
    restore_padding,
    write_out_fills,
)
from larq_bcd.convert.reasons import (
    PRODUCT_OF_ACTIVATIONS,
    reason_for_float,
    trains_as_binary,
)
from larq_bcd.convert.report import (
    NOT_CHECKED,
    ConversionReport,
    LayerReport,
    OptimizationReport,
    TensorReport,
)
from larq_bcd.data.preprocessing import Description
from larq_bcd.models import description_of
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.metadata import add_metadata, plain_name
from larq_bcd.tflite.operators import SAME
from larq_bcd.tflite.windows import padding


@dataclass(frozen=True)
class ConversionResult:
    """A flatbuffer and what is known about it.

    Attributes:
        content: the bytes of the `.tflite` file.
        report: what was converted, and how it compares with Keras.
        plain: the file before the passes, with its paddings restored and a float32 head.
    """

    content: bytes
    report: ConversionReport
    plain: bytes

    def require_binary(self) -> None:
        """Raises an error for layers that train as binary and ship as float.

        Raises:
            FloatFallbackError: if there are any, one line for each with its reason.
        """
        if self.report.fallbacks:
            lines = [f"{layer.name}: {layer.reason}" for layer in self.report.fallbacks]
            raise FloatFallbackError(
                f"{len(lines)} of the layers that train as binary would ship as float "
                "(--allow-float-fallback accepts that):\n  " + "\n  ".join(lines)
            )

    def require_equal(self) -> None:
        """Raises an error if the check has found a fault, or has not run without being waived.

        Raises:
            CheckError: with the faults, the first layer first.
        """
        check, replacement = self.report.check, self.report.replacement
        faults = [] if check is None else list(check.faults)
        if check is None and not self.report.is_check_waived:
            faults.append("it was not checked")
        if replacement is not None and replacement.max_difference != 0:
            faults.append(
                "with built-in operators the outputs differ by up to "
                f"{replacement.max_difference:.3g}, where they have to be the same bits"
            )
        if faults:
            more = f"\n  and {len(faults) - 5} more" if len(faults) > 5 else ""
            raise CheckError(
                "the flatbuffer does not compute what the model computes, so it is not "
                "written:\n  " + "\n  ".join(faults[:5]) + more
            )


class Progress:
    """Takes note of the steps of a conversion; this one keeps the time and shows nothing."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Surrounds a step; yields what the step calls with the parts done and all parts."""
        start = time.monotonic()
        try:
            yield self.advance
        finally:
            self.seconds[name] = round(time.monotonic() - start, 2)

    def advance(self, done: int, total: int) -> None:
        """Called by a step with how much of it is done."""


@dataclass(frozen=True)
class FileOptions:
    """What kind of file is wanted.

    Attributes:
        passes: names of the passes over the flatbuffer, of `passes.PASSES`.
        head: type of the weights of the dense layers before the outputs, of `head.HEADS`.
        ops: `"lce"`, or `"builtin"` for operators of TensorFlow Lite alone.
        input_type: `"float32"`, or `"uint8"` or `"int8"` for pixels as they are.
        description: preprocessing and class names, for the metadata; by default what the
            model says of itself.
        recipe_sha256: of the recipe that the model was trained with, for the metadata.
    """

    passes: Sequence[str] = tuple(PASSES)
    head: str = "float32"
    ops: str = "lce"
    input_type: str = "float32"
    description: Description | None = None
    recipe_sha256: str | None = None


def convert(
    model: tf.keras.Model,
    inputs: np.ndarray | None = None,
    source: str = "noise",
    name: str | None = None,
    allow_float_fallback: bool = False,
    progress: Progress | None = None,
    options: FileOptions | None = None,
    tolerance_factor: float | None = 1.0,
) -> ConversionResult:
    """Converts a Keras model with Larq Compute Engine, optimizes and checks what comes out.

    Args:
        model: a built model with one input of fixed height, width and channels; it is not
            changed.
        inputs: array of shape (inputs, *input_shape), on which the flatbuffer is compared
            with Keras; by default noise in the range of normalized images.
        source: where the inputs come from, for the report.
        name: what the report calls the model, by default its own name.
        allow_float_fallback: whether to go on to the check if a layer that trains as binary
            ships as float; else the check is left out, and `report.check` is None.
        progress: is told of the steps.
        options: what kind of file is wanted; by default all passes and nothing rounded.
        tolerance_factor: multiplies what rounding is taken to explain in the check; None
            leaves the check out. The file's metadata say so.

    Returns:
        The flatbuffer and its report. Whether it may be used is for `require_binary` and
        `require_equal` to say.

    Raises:
        ConversionError: if the model cannot be converted, or not to such a file.
        CheckError, EngineError: if nothing on this machine can run the flatbuffer.
    """
    require_convertible(model)
    progress = progress or Progress()
    options = options or FileOptions()
    description = _description(model, options)
    preprocessing = description.preprocessing
    if inputs is None:
        inputs = check_inputs.noise(model, CHECK_INPUTS, preprocessing)
    changes = []
    with progress.step("merge the heads"):
        shipped, merged = merge_heads(as_float32(model))
        if merged:
            changes.append(
                f"the heads {' and '.join(merged.heads)} are merged into {merged.name}"
            )
    with progress.step("convert"):
        content, notes = convert_model(shipped)
    with progress.step("optimize"):
        graph, file = InferenceGraph(shipped), Graph(content)
        if write_out_fills(file).changed:
            file.tidy()
        repaired = restore_padding(file, match_layers(graph, file)).changed
        if repaired:
            file.tidy()
            changes.append(
                "the converter had changed the padding of "
                f"{', '.join(repaired)}; it is restored"
            )
        plain = file.write()
        optimization = OptimizationReport.of_plain(file, plain)
        passes = options.passes
        if options.ops == "builtin":
            passes = [name for name in passes if name not in PASSES_OF_WORDS]
        optimization.passes = optimize(file, passes)
        optimization.conclude(file, file.write())
        if preprocessing is not None:
            set_input_type(file, preprocessing)
        matches = match_layers(graph, file)
        report = ConversionReport(
            model=name or model.name,
            inputs=_tensors(file.inputs),
            outputs=_tensors(file.outputs_like(graph.output_names), graph.output_names),
            file_bytes=len(file.write()),
            float32_bytes=weights_size(shipped),
            layers=[
                *(_layer(match, graph) for match in matches),
                *(_sign_product(name, graph) for name in graph.sign_products),
                *(_hidden_layer(layer) for layer in graph.hidden_layers),
            ],
            optimization=optimization,
            changes=changes,
            notes=notes + _notes(matches) + _unknown(model, description),
        )
    dtype = shipped.inputs[0].dtype
    given = inputs.astype(dtype.as_numpy_dtype)
    decode: Callable[[np.ndarray], np.ndarray] = np.asarray
    if preprocessing is not None and preprocessing.encoding != dtype.name:
        given = preprocessing.encoded(preprocessing.pixels(inputs))
        decode = preprocessing.decoded
    report.is_check_waived = tolerance_factor is None
    if tolerance_factor is not None and (allow_float_fallback or not report.fallbacks):
        with progress.step("check") as advance:
            report.check = check(
                graph,
                file,
                matches,
                given,
                source,
                advance,
                decode,
                tolerance_factor,
            )

    def compared(step: Callable[[], object], change: str) -> Comparison:
        before = file.write()
        step()
        return compare(before, file.write(), given, change)

    if options.head != "float32":
        with progress.step("round the head"):
            report.rounding = compared(
                lambda: quantize_head(file, options.head), f"{options.head} head"
            )
    if options.ops == "builtin":
        with progress.step("replace custom operators"):
            report.replacement = compared(
                lambda: with_builtin_operators(file), "built-in operators"
            )
    final = add_metadata(file, graph.model.name, description, _origin(report, options))
    _require_types(final, options)
    report.file_bytes = len(final)
    report.seconds = dict(progress.seconds)
    return ConversionResult(final, report, plain)


def _description(model: tf.keras.Model, options: FileOptions) -> Description:
    """What the file is to say of itself, and how its input is encoded."""
    known = description_of(model) if options.description is None else options.description
    if options.input_type not in INPUT_TYPES:
        raise ConversionError(
            f"input_type={options.input_type!r} is not supported: give one of "
            f"{', '.join(INPUT_TYPES)}."
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


def _unknown(model: tf.keras.Model, description: Description) -> list[str]:
    """What the file cannot say to whoever gives it images."""
    shape = model.inputs[0].shape
    if description.preprocessing is not None or len(shape) != 4 or shape[-1] not in (1, 3):
        return []
    return [
        "how images are prepared for the model is not known, and so not in the file: whoever "
        "runs it has to say; give --mean and --std, and --resize if the center is cut out"
    ]


def _origin(report: ConversionReport, options: FileOptions) -> dict:
    """What the file keeps about how it was made; the same for the same model."""
    packages = ("larq-bcd", "larq-compute-engine", "larq", "tensorflow", "tf-keras")
    found = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    origin = {
        "versions": found,
        "binary_layers": sum(layer.ships_as == "binary" for layer in report.layers),
        "float_layers": sum(layer.ships_as == "float" for layer in report.layers),
        "float_fallbacks": [layer.name for layer in report.fallbacks],
        "operators": report.optimization.operators_after,
        "passes": [done.name for done in report.optimization.passes],
        "head": options.head,
        "ops": options.ops,
    }
    if options.recipe_sha256 is not None:
        origin["recipe_sha256"] = options.recipe_sha256
    if report.check is not None:
        origin["check"] = {
            "verdict": report.check.verdict,
            "tolerance_factor": report.check.tolerance_factor,
            "inputs": report.check.inputs,
            "signs_compared": report.check.compared,
            "flips": report.check.flips,
            "same_arg_max": report.check.same_arg_max,
        }
    elif report.is_check_waived:
        origin["check"] = {"verdict": NOT_CHECKED}
    return origin


def _require_types(content: bytes, options: FileOptions) -> None:
    """Looks into what will be written: the converter is known to ignore what it is asked."""
    dtypes = [str(value.dtype) for value in Graph(content).inputs]
    if options.input_type != "float32" and dtypes != [options.input_type]:
        raise ConversionError(
            f"input_type={options.input_type!r} was not applied: the file takes {dtypes}."
        )


def _notes(matches: list[Match]) -> list[str]:
    notes = []
    for match in matches:
        node = match.node
        if node is None or not match.is_binary:
            continue
        padded_with_zeros = padding(node) == SAME and node.options["pad_values"] == 0
        kernel, image = match.layer.kernel.shape[:2], node.data.shape[1:3]
        if padded_with_zeros and any(k > n for k, n in zip(kernel, image, strict=True)):
            notes.append(
                f"{match.layer.name}: a kernel of {kernel[0]}x{kernel[1]} pads an image of "
                f"{image[0]}x{image[1]} with zeros, where the optimized kernels of Larq "
                "Compute Engine 0.16 err: use pad_values=1.0 or larger images"
            )
    return notes


def _tensors(values: list[Value], names: list[str] | None = None) -> list[TensorReport]:
    called = names if names and len(names) == len(values) else [v.name for v in values]
    clean = [plain_name(name) for name in called]
    return [
        TensorReport(name, value.shape, str(value.dtype))
        for name, value in zip(clean, values, strict=True)
    ]


def _hidden_layer(layer: tf.keras.layers.Layer) -> LayerReport:
    return LayerReport(
        name=layer.name,
        type=type(layer).__name__,
        ships_as="float",
        operator=None,
        trains_as_binary=True,
        reason="it is called inside of a tf.function, so that it cannot be found in the "
        "flatbuffer: call it outside of it",
    )


def _sign_product(name: str, graph: InferenceGraph) -> LayerReport:
    return LayerReport(
        name=name,
        type=graph.layer_type(name),
        ships_as="float",
        operator="BATCH_MATMUL",
        trains_as_binary=True,
        reason=PRODUCT_OF_ACTIVATIONS,
    )


def _layer(match: Match, graph: InferenceGraph) -> LayerReport:
    layer = match.layer
    binary = trains_as_binary(layer)
    ships_as_binary = match.is_binary
    reason = note = None
    if binary and not ships_as_binary:
        reason = reason_for_float(match, graph)
    elif not binary and ships_as_binary:
        note = "its real kernel is plus or minus one scale"
    elif not binary and source_of(layer.data).signs:
        note = "trains with a real kernel: only its input is quantized"
    elif match.node is None:
        note = "merged into another operator, or constant"
    return LayerReport(
        name=layer.name,
        type=type(layer.layer).__name__,
        ships_as="binary" if ships_as_binary else "float",
        operator=None if match.node is None else match.node.type,
        trains_as_binary=binary,
        reason=reason,
        note=note,
    )


__all__ = [
    "ConversionResult",
    "FileOptions",
    "Progress",
    "convert",
]
