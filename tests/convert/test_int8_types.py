import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import (
    CheckError,
    ConversionError,
    FileOptions,
    convert,
    int8_types,
    pipeline,
)
from larq_bcd.convert.inputs import noise
from larq_bcd.tflite.engines import REFERENCE, open_engine
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.quantization import dequantized

layers = tf.keras.layers
BOTH = {"input_type": "int8", "output_type": "int8"}


def _quantized(x):
    return tf.quantization.fake_quant_with_min_max_vars(x, -3.0, 3.0)


def _network(between):
    image = tf.keras.Input((6, 6, 3), name="image")
    x = between(layers.Conv2D(32, 3)(between(image)))
    x = binary_conv(name="binary")(x)
    x = between(layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x)))
    return randomize(tf.keras.Model(image, between(layers.Dense(5, name="logits")(x))))


def test_integers_go_in_and_out_as_the_model_quantizes_them():
    model = _network(_quantized)
    plain, result = convert(model), convert(model, options=FileOptions(**BOTH))
    result.require_equal()
    file = Graph(result.content)
    (given,), (back,) = file.inputs, file.outputs
    assert (given.dtype, back.dtype) == ("int8", "int8")
    assert (file.input_names, file.output_names) == (["image"], model.output_names)
    report = result.report
    assert (report.inputs[0].dtype, report.outputs[0].dtype) == ("int8", "int8")
    assert [reader.type for reader, _ in given.uses] == ["CONV_2D"]
    assert back.producer.type == "FULLY_CONNECTED"
    pixels = np.random.default_rng(0).integers(-128, 128, (2, 6, 6, 3)).astype(np.int8)
    real = dequantized(pixels, given.quantization).astype(np.float32)
    (expected,) = open_engine(plain.content, 1, REFERENCE).predict(real)
    (found,) = open_engine(result.content, 1, REFERENCE).predict(pixels)
    np.testing.assert_allclose(dequantized(found, back.quantization), expected, atol=1e-6)


def test_both_steps_say_what_they_have_changed():
    file = Graph(convert(_network(_quantized)).content)
    names = [one.name for one in file.inputs], [one.name for one in file.outputs]
    assert (int8_types.take_int8(file).changed, int8_types.give_int8(file).changed) == names


def test_a_file_of_int8_that_computes_something_else_is_a_fault(monkeypatch):
    def wrong(graph):
        int8_types.take_int8(graph)
        (dense,) = graph.nodes_of("FULLY_CONNECTED")
        weights = dense.input(1)
        turned = Value.of(-weights.values, weights.name, weights.quantization)
        dense.set_input(1, turned)

    monkeypatch.setattr(pipeline, "take_int8", wrong)
    with pytest.raises(CheckError, match="than the file that was checked"):
        convert(_network(_quantized), options=FileOptions(**BOTH))


def test_what_has_no_range_gets_the_default_one_and_the_difference_is_reported():
    model = _network(lambda x: x)
    options = FileOptions(**BOTH, default_int8_range=(-3.0, 3.0))
    result = convert(model, noise(model, 2), options=options)
    result.require_equal()
    file = Graph(result.content)
    assert {value.dtype.name for value in (*file.inputs, *file.outputs)} == {"int8"}
    assert "default range of -3 to 3" in result.report.rounding.change
    assert result.report.rounding.max_difference > 0
    assert "latency only" in result.report.notes[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_type": "int8"}, "--default-int8-range"),
        ({"output_type": "int8"}, "--default-int8-range"),
        ({"output_type": "uint8"}, "float32, int8"),
        ({"default_int8_range": (3.0, -3.0)}, "the least and the largest"),
        ({"default_int8_range": (-3.0, 3.0), "head": "int8"}, "leave stem, head and ops out"),
    ],
)
def test_what_is_not_quantized_cannot_be_int8(options, message):
    with pytest.raises(ConversionError, match=message):
        convert(_network(lambda x: x), options=FileOptions(**options))
