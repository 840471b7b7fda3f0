"""The conversion itself, by Larq Compute Engine."""

import copy
import tempfile
import warnings

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from larq_bcd._stderr import captured_stderr
from larq_bcd.convert import converter
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.large_kernels import quantized_before

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


def as_float32(model: tf.keras.Model) -> tf.keras.Model:
    """Rebuilds a model of reduced or mixed precision in float32, which the converter needs.

    Args:
        model: any Keras model; it is not changed.

    Returns:
        `model` itself if all its layers compute in float32, else a copy that does.

    Raises:
        ConversionError: if the model cannot be rebuilt from its configuration.
    """
    layers = [model, *(m for m in model.submodules if isinstance(m, tf.keras.layers.Layer))]
    if not any(layer.dtype_policy.name in _REDUCED for layer in layers):
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
    rebuilt.set_weights([weight.astype("float32") for weight in model.get_weights()])
    return rebuilt


def _first_error(lines: list[str]) -> str | None:
    for line in lines:
        if "error: " in line:
            return line.split("error: ", 1)[1].strip()
    return None


def _inference(model: tf.keras.Model, batch: int | None = None):
    """What a model computes at inference, as a function, and the variables that it reads."""
    quantized = quantized_before(model)
    batch = batch if quantized is None else 1
    inputs = [
        tf.TensorSpec([batch, *tensor.shape[1:]], tensor.dtype, name)
        for tensor, name in zip(model.inputs, model.input_names, strict=True)
    ]

    @tf.function(input_signature=inputs, autograph=False)
    def infer(*images):
        if quantized is not None:
            outputs = quantized.infer(images[0])
        else:
            outputs = tf.nest.flatten(model(images[0], training=False))
        return dict(zip(model.output_names, outputs, strict=True))

    kernels = () if quantized is None else quantized.kernels
    return infer, [*model.variables, *kernels]


def _convert_saved(model: tf.keras.Model) -> bytes:
    """Converts a SavedModel of the inference alone.

    `lce.convert_keras_model` saves the whole Keras model, every layer of it traced several
    times, and gives the same file in four times the time.
    """
    infer, variables = _inference(model)
    module = tf.Module()
    module.owned = variables  # what the function reads has to be saved with it
    with tempfile.TemporaryDirectory() as folder:
        # Nothing is trained from there on, and to save gradients takes a third of the time.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, folder, signatures=infer, options=options)
        return converter.convert_saved_model(folder)


def _convert_graph(model: tf.keras.Model) -> bytes:
    """Converts the graph of the inference, as `lce.convert_keras_model` does at last."""
    # A batch that the model fixes stays: recurrent layers convert with it alone.
    infer, _variables = _inference(model, model.inputs[0].shape[0])
    function = infer.get_concrete_function()
    return converter.convert_graph(
        convert_variables_to_constants_v2(function, lower_control_flow=False)
    )


def _advice(failure: Exception) -> str:
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


def convert_model(model: tf.keras.Model) -> tuple[bytes, list[str]]:
    """Converts a float32 Keras model with Larq Compute Engine.

    Args:
        model: a Keras model that computes in float32.

    Returns:
        The flatbuffer, and notes on what went differently than asked for.

    Raises:
        ConversionError: if the converter fails, with the error it met first, or if there is
            not enough memory.
    """
    failure: Exception | None = None
    with captured_stderr() as lines, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The native converter raises bare Exceptions; whatever it is ends the route.
        try:
            return _convert_saved(model), []
        except _OUT_OF_MEMORY as error:
            raise _too_large(model) from error
        except Exception as error:
            first = error
        try:
            content = _convert_graph(model)
        except _OUT_OF_MEMORY as error:
            raise _too_large(model) from error
        except Exception as error:
            failure = error
    reason = _first_error(lines) or " ".join(str(first).split()) or type(first).__name__
    if isinstance(first, converter.ConverterDiedError) and reason != str(first):
        reason = f"{first} after it said: {reason}"
    if failure is not None:
        raise ConversionError(
            f"Larq Compute Engine cannot convert the model: {reason}. {_advice(first)}"
        ) from first
    return content, [
        f"The SavedModel route failed ({reason}); its graph was converted instead."
    ]
