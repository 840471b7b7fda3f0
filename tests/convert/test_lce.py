import os

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import randomize, small_model

from larq_bcd.convert import CheckError, ConversionError, convert
from larq_bcd.convert.lce import as_float32, convert_model
from larq_bcd.tflite.engines import LCE, TFLITE
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


def without_names(content):
    """A file but for the names of its tensors, in which Keras counts its quantizers."""
    graph = Graph(content)
    for node in graph.nodes:
        for value in (*node.operands, *node.outputs):
            value.name = ""
    return graph.write()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_file_of_mixed_precision_is_that_of_float32(policy, small):
    tf.keras.mixed_precision.set_global_policy(policy)
    model = small_model()
    tf.keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("first").compute_dtype == policy.removeprefix("mixed_")
    model.set_weights(small.get_weights())
    result = convert(model)
    result.require_binary()
    result.require_equal()
    assert {t.dtype for t in result.report.inputs + result.report.outputs} == {"float32"}
    assert without_names(result.content) == without_names(convert(small).content)


def test_a_float32_model_is_not_copied(small):
    assert as_float32(small) is small


def test_a_copy_has_the_same_weights():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = small_model()
    np.testing.assert_equal(as_float32(model).get_weights(), model.get_weights())
    assert tf.keras.mixed_precision.global_policy().name == "mixed_bfloat16"


@pytest.fixture
def failing(monkeypatch):
    """Lets steps of the converter fail, the first with a message on stderr."""

    def fail(*steps):
        for step in steps:

            def broken(*_, step=step, **__):
                os.write(2, f"loc(x): error: '{step}' is at fault\n".encode())
                raise Exception(f"{step} failed")

            monkeypatch.setattr(f"larq_compute_engine.mlir.python.converter.{step}", broken)

    return fail


def test_the_first_error_of_the_converter_is_shown(small, failing):
    failing("convert_saved_model", "convert_graphdef_to_tflite_flatbuffer")
    with pytest.raises(ConversionError, match="'convert_saved_model' is at fault") as raised:
        convert_model(small)
    assert "\n" not in str(raised.value)
    assert str(raised.value.__cause__) == "convert_saved_model failed"


def test_a_fallback_of_the_converter_is_noted_and_checked(small, failing):
    failing("convert_saved_model")
    result = convert(small)
    assert "'convert_saved_model' is at fault" in result.report.notes[0]
    result.require_equal()


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("convert_saved_model", MemoryError()),
        ("convert_saved_model", tf.errors.ResourceExhaustedError(None, None, "OOM")),
        ("convert_graphdef_to_tflite_flatbuffer", MemoryError()),
    ],
)
def test_a_machine_without_enough_memory_is_named_as_the_cause(
    small, failing, monkeypatch, where, error
):
    def exhausted(*_, **__):
        raise error

    if where != "convert_saved_model":
        failing("convert_saved_model")
    monkeypatch.setattr(f"larq_compute_engine.mlir.python.converter.{where}", exhausted)
    with pytest.raises(
        ConversionError, match=r"not enough memory .* \d+ MB of its weights"
    ) as raised:
        convert_model(small)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("compute", "reason"),
    [
        (lambda x: tf.linalg.svd(x, compute_uv=False), "unresolved custom op: Svd"),
        (lambda x: tf.unique(tf.reshape(x, [-1]))[0], "depend on values"),
    ],
)
def test_an_operation_that_the_interpreter_lacks_is_named(compute, reason):
    image = tf.keras.Input((8, 8, 3))
    with pytest.raises(CheckError, match=reason):
        convert(tf.keras.Model(image, compute(image)))


def test_a_type_that_the_engine_cannot_hand_over_is_checked_on_tensorflow_lite():
    image = tf.keras.Input((8, 8, 3))
    result = convert(tf.keras.Model(image, tf.cast(image, tf.float64)))
    result.require_equal()
    runs_on = result.report.check.runs_on
    assert f"{TFLITE}, since {LCE} cannot run the file: " in runs_on
    assert "invalid output type" in runs_on


def test_nothing_is_left_on_stderr(capfd):
    convert_model(
        randomize(tf.keras.Sequential([layers.Input((4, 4, 3)), layers.Conv2D(2, 1)]))
    )
    assert capfd.readouterr().err == ""
