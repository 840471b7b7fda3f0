import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, small_model

from larq_bcd.convert import ConversionError, FileOptions, convert
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.tflite.engines import REFERENCE, open_engine
from larq_bcd.tflite.graph import Graph

IMAGES = Preprocessing((12, 12), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), resize=None)


@pytest.mark.parametrize(("kind", "black"), [("uint8", 0), ("int8", -128)])
def test_bytes_go_in_and_what_keras_computes_of_them_comes_out(small, kind, black):
    options = FileOptions(input_type=kind, description=Description(IMAGES))
    result = convert(small, options=options)
    result.require_equal()
    (image,) = Graph(result.content).inputs
    assert (image.dtype, image.shape) == (kind, (1, 12, 12, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 12, 12, 3))
    (outputs,) = open_engine(result.content, 1, REFERENCE).predict(
        (pixels + black).astype(kind)
    )
    expected = small((pixels / 255 - IMAGES.mean) / IMAGES.std)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_pixels_of_0_to_1_need_no_arithmetic():
    plain = Preprocessing((12, 12), (0.0,) * 3, (1.0,) * 3, resize=None)
    options = FileOptions(input_type="uint8", description=Description(plain))
    types = [node.type for node in Graph(convert(small_model(), options=options).content).nodes]
    assert types.count("DEQUANTIZE") == 1
    assert not {"MUL", "ADD"} & set(types)


def test_a_model_of_integers_and_an_unknown_type_are_errors():
    image = tf.keras.Input((4, 4, 3), dtype="int32")
    model = tf.keras.Model(image, tf.cast(image, tf.float32))
    with pytest.raises(ConversionError, match="int32"):
        convert(model, options=FileOptions(input_type="uint8"))
    with pytest.raises(ConversionError, match="int4"):
        convert(model, options=FileOptions(input_type="int4"))


def test_pixels_of_a_model_of_unknown_preprocessing_are_not_guessed(small):
    with pytest.raises(ConversionError, match="not known: give --mean and --std"):
        convert(small, options=FileOptions(input_type="uint8"))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_model_of_bytes_takes_them_as_they_are(dtype):
    image = tf.keras.Input((12, 12, 3), dtype=dtype, name="image")
    x = tf.keras.layers.Rescaling(1 / 255)(image)
    model = tf.keras.Model(image, binary_conv(8)(tf.keras.layers.Conv2D(8, 3)(x)))
    for kind in ("float32", dtype):
        result = convert(model, options=FileOptions(input_type=kind))
        result.require_equal()
        assert [one.dtype for one in result.report.inputs] == [dtype]
    other = {"uint8": "int8", "int8": "uint8"}[dtype]
    with pytest.raises(ConversionError, match=f"takes {dtype}, not float32.*leave it out"):
        convert(model, options=FileOptions(input_type=other))


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint16", "int32", "int64", "float64"])
def test_a_model_takes_every_type_of_numbers(dtype):
    image = tf.keras.Input((4, 4, 3), dtype=dtype)
    result = convert(tf.keras.Model(image, tf.cast(image, tf.float32) * 2))
    result.require_equal()
    assert [one.dtype for one in result.report.inputs] == [dtype]


def test_a_model_of_half_precision_takes_bytes():
    image = tf.keras.Input((12, 12, 3), dtype="float16")
    model = tf.keras.Model(image, tf.keras.layers.Conv2D(2, 3, dtype="float16")(image))
    options = FileOptions(input_type="uint8", description=Description(IMAGES))
    result = convert(model, options=options)
    result.require_equal()
    assert [one.dtype for one in result.report.inputs] == ["uint8"]
