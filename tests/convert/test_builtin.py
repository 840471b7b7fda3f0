import functools

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomise
from larq_compute_engine.tflite.python.interpreter import Interpreter

from larq_bcd.convert import ConversionError, FileOptions, convert
from larq_bcd.convert.builtin import PASSES_OF_WORDS, with_builtin_operators
from larq_bcd.convert.flatbuffer import Flatbuffer
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.rewrite import PASSES, optimise
from larq_bcd.layers import QuantConv2D, QuantShiftMLP

layers = tf.keras.layers
SCALED = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}


def _chain(x):
    x = binary_conv(48, 3)(x)
    x = layers.BatchNormalization()(x)
    return binary_conv(40, 3, padding="valid")(x)  # packed signs between the two


def _pooled(x):
    x = layers.MaxPool2D(2)(layers.BatchNormalization()(x))
    return binary_conv(33, 1)(x)


NETWORKS = {
    "same, +1": lambda x: binary_conv(40, 3, strides=2)(x),
    "same, 0": lambda x: binary_conv(40, 3, pad_values=0.0)(x),
    "dilated": lambda x: binary_conv(8, 3, dilation_rate=2)(x),
    "symmetric": lambda x: QuantConv2D(16, 3, 2, "symmetric", pad_values=0.0, **SCALED)(x),
    "batch norm": lambda x: layers.BatchNormalization()(binary_conv(40, 3)(x)),
    "relu": lambda x: layers.BatchNormalization()(layers.ReLU()(binary_conv(40, 3)(x))),
    "packed between": _chain,
    "max-pool": _pooled,
    "shifted MLP": lambda x: layers.BatchNormalization()(QuantShiftMLP(64)(x)) + x,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_of_builtin_operators_gives_the_same_bits_or_rounds_a_border(name):
    if name == "symmetric":  # padded with 0, with a scale
        equal = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    else:
        equal = np.testing.assert_array_equal
    image = tf.keras.Input((9, 9, 64))
    model = randomise(tf.keras.Model(image, NETWORKS[name](image)))
    names = [one for one in PASSES if one not in PASSES_OF_WORDS]
    packed, _ = optimise(Flatbuffer(convert_model(model)[0]), names)
    builtin = with_builtin_operators(packed)
    assert any(op.type.startswith("Lce") for op in packed.operators)
    assert not any(op.type.startswith("Lce") for op in builtin.operators)
    stock = tf.lite.Interpreter(
        model_content=builtin.content,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    stock.allocate_tensors()
    engine, replaced = Interpreter(packed.content), Interpreter(builtin.content)
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = rng.normal(size=(1, 9, 9, 64)).astype("f")
        x[..., rng.integers(64, size=8)] = 0  # whose sign is +1
        expected = engine.predict(x)
        equal(replaced.predict(x), expected)
        stock.set_tensor(stock.get_input_details()[0]["index"], x)
        stock.invoke()
        outputs = stock.get_tensor(stock.get_output_details()[0]["index"])
        equal(outputs, expected)


def test_packed_words_that_are_moved_are_an_error():
    image = tf.keras.Input((9, 9, 128))
    model = randomise(tf.keras.Model(image, QuantShiftMLP(32)(image)))
    moved, _ = optimise(Flatbuffer(convert_model(model)[0]))
    with pytest.raises(ConversionError, match="movement"):
        with_builtin_operators(moved)


def test_the_report_compares_both_files(small):
    result = convert(small, options=FileOptions(ops="builtin", input_type="uint8", head="int8"))
    result.require_equal()
    found = result.report.replacement
    assert found.max_difference == 0
    assert found.same_arg_max == 8
    assert 0 < found.bytes[0] < found.bytes[1] < len(result.content)
    assert not any(op.type.startswith("Lce") for op in Flatbuffer(result.content).operators)
