"""From a Keras model to a checked flatbuffer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from larq_bcd._choices import CHECK_INPUTS
from larq_bcd.convert import inputs as check_inputs
from larq_bcd.convert.builtin import PASSES_OF_WORDS, with_builtin_operators
from larq_bcd.convert.check import check
from larq_bcd.convert.compare import Comparison, compare
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.fold import merge_heads
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.head import quantize_head
from larq_bcd.convert.input_shapes import require_batch_of_one, require_fixed_shapes
from larq_bcd.convert.input_type import set_input_type
from larq_bcd.convert.int8_types import give_int8, require_same, take_int8
from larq_bcd.convert.interface import arrays_of, input_names, is_image
from larq_bcd.convert.layer_reports import layer_reports
from larq_bcd.convert.lce import as_float32, convert_model, convert_quantized, reduced_types
from larq_bcd.convert.load import as_functional, weights_size
from larq_bcd.convert.match import match_layers
from larq_bcd.convert.options import (
    FileOptions,
    described,
    require_calibration,
    require_types,
)
from larq_bcd.convert.origin import origin_of
from larq_bcd.convert.passes import (
    convolve_dense,
    correct_zeros,
    lower_ranks,
    optimize,
    restore_gelus,
    restore_padding,
    round_after_zeros,
    separate_states,
    write_out_fills,
)
from larq_bcd.convert.progress import Progress
from larq_bcd.convert.report import ConversionReport, OptimizationReport, TensorReport
from larq_bcd.convert.result import ConversionResult
from larq_bcd.convert.stem import quantize_stem, stems
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.metadata import add_metadata, plain_name


def convert(
    model: tf.keras.Model,
    inputs: np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray] | None = None,
    source: str = "noise",
    name: str | None = None,
    allow_float_fallback: bool = False,
    progress: Progress | None = None,
    options: FileOptions | None = None,
    tolerance_factor: float | None = 1.0,
    calibration: np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray] | None = None,
) -> ConversionResult:
    """Converts a Keras model with Larq Compute Engine, optimizes and checks what comes out.

    Args:
        model: a built model whose inputs have fixed shapes, but for the batch, or one of a
            subclass that has been called; it is not changed.
        inputs: array of shape (samples, *input_shape), on which the flatbuffer is compared
            with Keras, or one for each of several inputs, in the model's order or by name; by
            default noise in a range that suits the model.
        source: where the inputs come from, for the report.
        name: what the report calls the model, by default its own name.
        allow_float_fallback: whether to go on to the check if a layer that trains as binary
            ships as float; else the check is left out, and `report.check` is None.
        progress: is told of the steps.
        options: what kind of file is wanted; by default all passes and nothing rounded.
        tolerance_factor: multiplies what rounding is taken to explain in the check; None
            leaves the check out. The file's metadata say so.
        calibration: as `inputs`, what the ranges of a stem of int8 are taken of, and what
            rounding changes is measured on.

    Returns:
        The flatbuffer and its report. Whether it may be used is for `require_binary` and
        `require_equal` to say.

    Raises:
        ConversionError: if the model cannot be converted, or not to such a file.
        CheckError, EngineError: if nothing on this machine can run the flatbuffer, or a file of
            int8 gives other values than the one that was checked.
    """
    model = as_functional(model)
    require_fixed_shapes(model)
    require_batch_of_one(model)
    progress = progress or Progress()
    options = options or FileOptions()
    description = described(model, options)
    require_calibration(options, calibration is not None)
    if inputs is None:
        inputs = check_inputs.noise(model, CHECK_INPUTS, description.preprocessing)
    arrays = _arrays(model, inputs, "inputs")
    seen = None if calibration is None else _arrays(model, calibration, "calibration")
    with progress.step("merge the heads"):
        shipped, changes = _folded(model)
    with progress.step("convert"):
        content, notes = convert_model(shipped)
    with progress.step("optimize"):
        graph, file = InferenceGraph(shipped), Graph(content)
        changes += _mended(graph, file)
        if options.dense_as_convolution:
            changes += _convolved(graph, file)
        plain = file.write()
        optimization = _optimized(file, plain, options)
        if description.preprocessing is not None:
            set_input_type(file, description.preprocessing)
        if options.stem != "float32":
            stems(file)  # which says before the check if there is none
        matches = match_layers(graph, file)
        report = ConversionReport(
            model=name or model.name,
            inputs=_tensors(file.inputs, file.input_names),
            outputs=_tensors(file.outputs, file.output_names),
            file_bytes=len(file.write()),
            float32_bytes=weights_size(shipped),
            layers=layer_reports(matches, graph),
            optimization=optimization,
            changes=changes,
            notes=[
                *notes,
                *_states(file),
                *_unknown(model, description),
            ],
            is_check_waived=tolerance_factor is None,
        )
    fed = _fed(shipped, file, arrays, description.preprocessing)
    if tolerance_factor is not None and (allow_float_fallback or not report.fallbacks):
        with progress.step("check") as advance:
            report.check = check(
                graph, file, matches, fed.given, source, advance, fed.decode, tolerance_factor
            )
    rounded = fed.given
    if seen is not None:
        rounded = _fed(shipped, file, seen, description.preprocessing).given
    kinds = {"stem": options.stem, "head": options.head}
    parts = [part for part, kind in kinds.items() if kind != "float32"]
    if parts:
        with progress.step(f"round the {' and the '.join(parts)}"):
            change = " and ".join(f"{kinds[part]} {part}" for part in parts)
            if seen is not None:
                change += ", on the inputs of the calibration"
            report.rounding = _compared(
                file, lambda: _rounded(file, options, rounded), rounded, change
            )
    if options.ops == "builtin":
        with progress.step("replace custom operators"):
            report.replacement = _compared(
                file, lambda: with_builtin_operators(file), fed.given, "built-in operators"
            )
    if options.default_int8_range is not None:
        with progress.step("quantize by the default range"):
            before, file = file, _quantized(shipped, graph, options, description)
            low, high = options.default_int8_range
            change = f"int8 with the default range of {low:g} to {high:g}"
            report.rounding = compare(before.write(), file.write(), fed.given, change)
            report.notes.append(
                f"{change}: the file is good for measuring latency only, and what of it was "
                "checked is the file without"
            )
    takes_int8 = options.input_type == "int8" and description.preprocessing is None
    if takes_int8 or options.output_type == "int8":
        checked = file.write()
        if takes_int8:
            take_int8(file)
        if options.output_type == "int8":
            give_int8(file)
        require_same(checked, file, fed.given)
    report.inputs = _tensors(file.inputs, file.input_names)
    report.outputs = _tensors(file.outputs, file.output_names)
    final = add_metadata(file, graph.model.name, description, origin_of(report, options))
    require_types(final, options)
    report.file_bytes = len(final)
    report.seconds = dict(progress.seconds)
    return ConversionResult(final, report, plain)


def _arrays(
    model: tf.keras.Model,
    given: np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray],
    argument: str,
) -> list[np.ndarray]:
    """One array for each input of a model, of what an argument gives."""
    if isinstance(given, Mapping):
        return check_inputs.given_arrays(given, model, argument)
    arrays, names = arrays_of(given), input_names(model)
    if len(arrays) != len(names):
        raise ConversionError(
            f"{argument} has {len(arrays)} arrays, but the model has {len(names)} inputs: give "
            f"one for each of {', '.join(names)}."
        )
    return check_inputs.given_arrays(dict(zip(names, arrays, strict=True)), model, argument)


def _folded(model: tf.keras.Model) -> tuple[tf.keras.Model, list[str]]:
    """The model that ships, of the one that trained, and what is different in words."""
    changes = []
    wide = as_float32(model)
    if wide is not model:
        changes.append(
            f"the model computes in {', '.join(reduced_types(model))}, and the file in "
            "float32, which Larq Compute Engine needs"
        )
    batches = {tensor.shape[0] for tensor in model.inputs} - {None, 1}
    if batches:
        changes.append(
            f"the model has a batch of {', '.join(map(str, sorted(batches)))}, and the file "
            "one of 1, which larq_bcd_runtime runs on any number of samples"
        )
    shipped, merged = merge_heads(wide)
    if merged is not None:
        changes.append(f"the heads {' and '.join(merged.heads)} are merged into {merged.name}")
    return shipped, changes


def _mended(graph: InferenceGraph, file: Graph) -> list[str]:
    """Undoes what the converter did to the model; returns what, in words."""
    changes = []
    rewritten = write_out_fills(file), round_after_zeros(file), restore_gelus(file)
    if any(done.changed for done in rewritten):
        file.tidy()
    if lowered := lower_ranks(file).changed:
        changes.append(
            f"{' and '.join(dict.fromkeys(lowered))} have fewer dimensions than in the model, "
            "since the kernels of Larq Compute Engine abort on theirs"
        )
    if separated := separate_states(file).changed:
        changes.append(
            f"the converter had let states of {' and '.join(dict.fromkeys(separated))} share "
            "their memory; each has its own again"
        )
    matches = match_layers(graph, file)
    if repaired := restore_padding(file, matches).changed:
        file.tidy()
        changes.append(
            f"the converter had changed the padding of {', '.join(repaired)}; it is restored"
        )
    layers = {m.node.output.name: m.layer.name for m in matches if m.node is not None}
    if corrected := correct_zeros(file).changed:
        file.tidy()
        names = ", ".join(layers.get(name, name) for name in corrected)
        changes.append(
            f"the windows of {names} are larger than their images, where Larq Compute Engine "
            "errs with zeros of padding; an addition makes up for it"
        )
    return changes


def _convolved(graph: InferenceGraph, file: Graph) -> list[str]:
    """Lets dense layers of signs ship as binary convolutions; returns which, in words."""
    written = convolve_dense(file).changed
    matches = match_layers(graph, file)
    names = [m.layer.name for m in matches if m.node and m.node.output.name in written]
    return [f"{', '.join(names)} ship as binary 1x1 convolutions"] if names else []


def _quantized(
    model: tf.keras.Model, graph: InferenceGraph, options: FileOptions, known: Description
) -> Graph:
    """The file of a model in which what has no range is quantized by the default one."""
    assert options.default_int8_range is not None
    file = Graph(convert_quantized(model, options.default_int8_range))
    _mended(graph, file)
    optimize(file, options.passes)
    if known.preprocessing is not None:
        set_input_type(file, known.preprocessing)
    return file


def _optimized(file: Graph, plain: bytes, options: FileOptions) -> OptimizationReport:
    """Runs the passes over a file, whose bytes are `plain`; it is changed."""
    report = OptimizationReport.of_plain(file, plain)
    passes = options.passes
    if options.ops == "builtin":
        passes = [name for name in passes if name not in PASSES_OF_WORDS]
    report.passes = optimize(file, passes)
    report.conclude(file, file.write())
    return report


@dataclass(frozen=True)
class _Fed:
    """The inputs of the check.

    Attributes:
        given: as the file takes them.
        decode: turns them into what the model takes.
    """

    given: list[np.ndarray]
    decode: Callable[[list[np.ndarray]], list[np.ndarray]]


def _fed(
    model: tf.keras.Model,
    file: Graph,
    arrays: list[np.ndarray],
    preprocessing: Preprocessing | None,
) -> _Fed:
    """Encodes inputs of a model where its file takes bytes in place of float32."""
    given: list[np.ndarray] = []
    decoders: list[Callable[[np.ndarray], np.ndarray]] = []
    for tensor, value, array in zip(model.inputs, file.inputs, arrays, strict=True):
        if preprocessing is None or value.dtype == tensor.dtype.name:
            given.append(array.astype(tensor.dtype.as_numpy_dtype))
            decoders.append(np.asarray)
        else:
            given.append(preprocessing.encoded(preprocessing.pixels(array)))
            decoders.append(preprocessing.decoded)

    def decode(arrays: list[np.ndarray]) -> list[np.ndarray]:
        return [decode(array) for decode, array in zip(decoders, arrays, strict=True)]

    return _Fed(given, decode)


def _rounded(file: Graph, options: FileOptions, given: list[np.ndarray]) -> None:
    """Rounds the stem and the head of a file as is wanted."""
    if options.stem == "int8":
        quantize_stem(file, given)
    quantize_head(file, options.head)


def _compared(
    file: Graph, step: Callable[[], object], given: list[np.ndarray], change: str
) -> Comparison:
    """Takes a step that changes a file a little, and compares the file with what it was."""
    before = file.write()
    step()
    return compare(before, file.write(), given, change)


def _tensors(values: list[Value], names: list[str]) -> list[TensorReport]:
    return [
        TensorReport(plain_name(name), value.shape, str(value.dtype))
        for name, value in zip(names, values, strict=True)
    ]


def _states(file: Graph) -> list[str]:
    kinds = {n.type for n in file.nodes if any(v.is_variable for v in n.operands)}
    if not kinds:
        return []
    return [
        f"{' and '.join(sorted(kinds))} goes on where the run before has ended: "
        "larq_bcd_runtime begins anew for each sample; elsewhere call reset_all_variables, or "
        "open the file again, which Larq Compute Engine's interpreter in Python needs"
    ]


def _unknown(model: tf.keras.Model, description: Description) -> list[str]:
    """What the file cannot say to whoever gives it images."""
    known = description.preprocessing
    images = [one.shape for one in model.inputs if is_image(one)]
    if all(known is not None and shape[1:] == known.input_shape for shape in images):
        return []
    return [
        "how images are prepared for the model is not known, and so not in the file: whoever "
        "runs it has to say; give --mean and --std, and --resize if the center is cut out"
    ]


__all__ = ["convert"]
