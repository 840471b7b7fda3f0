"""The conversion itself, by Larq Compute Engine."""

import contextlib
import copy
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from larq_bcd._stderr import captured_stderr
from larq_bcd.convert import converter
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.interface import infer, input_names, output_names
from larq_bcd.convert.large_kernels import QuantizedBefore, quantized_before
from larq_bcd.models.weights import copy_between_builds
from larq_bcd.tflite.graph import Graph, Value

_OUT_OF_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)
_REDUCED = frozenset({"float16", "bfloat16", "mixed_float16", "mixed_bfloat16"})
_NAMES_OF_TYPES = frozenset({"dtype", "name", "compute_dtype", "variable_dtype"})


def _in_float32(config, key=None):
    """A Keras configuration with every reduced type or policy replaced by float32."""
    if isinstance(config, dict):
        return {name: _in_float32(value, name) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    if key in _NAMES_OF_TYPES and isinstance(config, str) and config in _REDUCED:
        return "float32"
    return config


def reduced_types(model: tf.keras.Model) -> list[str]:
    """The reduced types and mixed policies that layers of a model compute in."""
    layers = [model, *(m for m in model.submodules if isinstance(m, tf.keras.layers.Layer))]
    return sorted({layer.dtype_policy.name for layer in layers} & _REDUCED)


def as_float32(model: tf.keras.Model) -> tf.keras.Model:
    """Rebuilds a model of reduced or mixed precision in float32, which the converter needs.

    Returns:
        `model` itself if all its layers compute in float32, else a copy that does.

    Raises:
        ConversionError: if the model cannot be rebuilt from its configuration.
    """
    if not reduced_types(model):
        return model
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("float32")
    try:
        config = _in_float32(copy.deepcopy(model.get_config()))
        rebuilt = type(model).from_config(config)
    except NotImplementedError as error:
        raise ConversionError(
            f"the model computes in {model.dtype_policy.name} and cannot be rebuilt in "
            "float32, which Larq Compute Engine needs: give its layers a get_config, or build "
            "it in float32 and load the weights."
        ) from error
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)
    copy_between_builds(model, rebuilt)
    return rebuilt


def _first_error(lines: list[str]) -> str | None:
    for line in lines:
        if "error: " in line:
            return line.split("error: ", 1)[1].strip()
    return None


def _numbered(kind: str, count: int) -> list[str]:
    """Names that sort as they are numbered: the converter sorts by name."""
    return [f"{kind}_{number:06}" for number in range(count)]


def _inference(model: tf.keras.Model, quantized: QuantizedBefore | None, batch: int | None):
    """What a model computes at inference, as a function, and the variables that it reads."""
    samples = batch if quantized is None else 1
    names = _numbered("input", len(model.inputs))
    signature = [
        tf.TensorSpec([samples, *tensor.shape[1:]], tensor.dtype, name)
        for tensor, name in zip(model.inputs, names, strict=True)
    ]

    @tf.function(input_signature=signature, autograph=False)
    def compute(*tensors):
        outputs = infer(model, tensors) if quantized is None else quantized.infer(tensors)
        return dict(zip(_numbered("output", len(outputs)), outputs, strict=True))

    kernels = () if quantized is None else quantized.kernels
    return compute, [*model.variables, *kernels]


def _convert_saved(
    model: tf.keras.Model,
    quantized: QuantizedBefore | None,
    batch: int | None,
    int8_range: tuple[float, float] | None = None,
) -> bytes:
    """Converts a SavedModel of the inference alone.

    `lce.convert_keras_model` saves the whole Keras model, every layer of it traced several
    times, and gives the same file in four times the time.

    Args:
        model: the model.
        quantized: what it computes with kernels that are quantized already, if it has any.
        batch: how many samples it is traced for, None for any number.
        int8_range: by which everything is quantized that has no range of its own.
    """
    compute, variables = _inference(model, quantized, batch)
    module = tf.Module()
    module.owned = variables  # what the function reads has to be saved with it
    with tempfile.TemporaryDirectory() as folder:
        # Nothing is trained from there on, and to save gradients takes a third of the time.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        with _without_notes():
            tf.saved_model.save(module, folder, signatures=compute, options=options)
        return converter.convert_saved_model(folder, int8_range)


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Keeps TensorFlow from telling in a notebook where it has written files."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def _convert_graph(model: tf.keras.Model, quantized: QuantizedBefore | None) -> bytes:
    """Converts the graph of the inference, as `lce.convert_keras_model` does at last."""
    compute, _variables = _inference(model, quantized, batch=1)
    function = compute.get_concrete_function()
    return converter.convert_graph(
        convert_variables_to_constants_v2(function, lower_control_flow=False)
    )


def _advice(failure: Exception, reason: str) -> str:
    if "TensorList" in str(failure) + reason:
        return "Give its recurrent layers unroll=True, and its inputs a fixed length."
    if found := re.search(r"!quant\.uniform<[iu](\d+)", reason):
        return f"It has no integers of {found[1]} bits here: fake-quantize with num_bits=8."
    if "same element type" in reason:
        return (
            "It compares values of 8 bits alone with others: fake-quantize with num_bits=8, or "
            "behind the comparison."
        )
    # Of a model it speaks in terms of layers and types, of itself in those of C++.
    if isinstance(failure, converter.ConverterDiedError) or "std::" in str(failure):
        return (
            "That is a fault of the converter: convert parts of the model to find the layer "
            "that it dies of, and replace that."
        )
    return "Replace the layer that this names by one that TensorFlow Lite supports."


def _too_large(model: tf.keras.Model) -> ConversionError:
    megabytes = 4 * model.count_params() / 1e6
    return ConversionError(
        f"there is not enough memory to convert the model, several times the "
        f"{megabytes:.0f} MB of its weights: free some, or take a larger machine."
    )


def convert_quantized(model: tf.keras.Model, int8_range: tuple[float, float]) -> bytes:
    """Converts a model that `convert_model` converts, with a range for what has none.

    Args:
        model: a Keras model that computes in float32.
        int8_range: the least and the largest value, for all tensors alike: what is computed is
            good for measuring latency only.

    Returns:
        The flatbuffer.

    Raises:
        ConversionError: if the converter fails.
    """
    with captured_stderr() as lines, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content = _convert_saved(model, quantized_before(model), 1, int8_range)
        except converter.ConverterError as error:
            failure = error
        else:
            return _restored(content, model)
    raise ConversionError(
        f"default_int8_range: Larq Compute Engine cannot quantize the model: "
        f"{_first_error(lines) or failure}. Leave it out."
    ) from failure


def convert_model(model: tf.keras.Model) -> tuple[bytes, list[str]]:
    """Converts a float32 Keras model with Larq Compute Engine.

    Returns:
        The flatbuffer, and notes on what went differently than asked for.

    Raises:
        ConversionError: if the converter fails, with the error it met first, or if there is
            not enough memory.
    """
    failures: list[Exception] = []
    quantized = quantized_before(model)
    notes = [] if quantized is None else [quantized.note]
    with captured_stderr() as lines, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for route, _ in _ROUTES:
            try:
                content = route(model, quantized)
                break
            except ConversionError:  # no process can be started, on any route
                raise
            except _OUT_OF_MEMORY as error:
                raise _too_large(model) from error
            # The converter's, or whatever the code of a layer raises while it is traced for an
            # open batch, which it may do for one sample.
            except Exception as error:
                failures.append(error)
    if not failures:
        return _restored(content, model), notes
    first = failures[0]
    reason = _first_error(lines) or " ".join(str(first).split()) or type(first).__name__
    if isinstance(first, converter.ConverterDiedError) and reason != str(first):
        reason = f"{first} after it said: {reason}"
    if len(failures) == len(_ROUTES):
        raise ConversionError(
            f"Larq Compute Engine cannot convert the model: {reason}. {_advice(first, reason)}"
        ) from first
    _, note = _ROUTES[len(failures)]
    if note == _FOR_ONE and all(tensor.shape[0] == 1 for tensor in model.inputs):
        return _restored(content, model), notes
    return _restored(content, model), [*notes, note.format(reason)]


_FOR_ONE = "An open batch cannot be converted ({}); the file is for a batch of 1."
# What is tried in turn, and what a user is told where it is not the first that succeeds.
_ROUTES: tuple[tuple[Callable[..., bytes], str], ...] = (
    (partial(_convert_saved, batch=None), ""),
    # Recurrent layers, say, have to know the batch.
    (partial(_convert_saved, batch=1), _FOR_ONE),
    (_convert_graph, "The SavedModel route failed ({}); its graph was converted instead."),
)


def _restored(content: bytes, model: tf.keras.Model) -> bytes:
    """The file with the model's order and names of inputs and outputs.

    The converter sorts them by name in its signature, and in the file in yet another way.
    """
    file = Graph(content)
    inputs = _in_order(file.inputs, file.input_names, "input")
    outputs = _in_order(file.outputs, file.output_names, "output")
    file.set_signature(
        dict(zip(input_names(model), inputs, strict=True)),
        dict(zip(output_names(model), outputs, strict=True)),
    )
    return file.write()


def _in_order(values: list[Value], names: list[str], kind: str) -> list[Value]:
    order = _numbered(kind, len(values))
    if set(names) != set(order):
        return values  # a graph alone has no signature, and keeps the order
    known = dict(zip(names, values, strict=True))
    return [known[name] for name in order]
