import numpy as np
import pytest
import tensorflow as tf
from conversion_models import small_model

from larq_bcd.convert import ConversionError, FileOptions, convert
from larq_bcd.convert.input_type import InputEncoding
from larq_bcd.convert.inputs import Normalization
from larq_bcd.tflite.engines import REFERENCE, open_engine
from larq_bcd.tflite.graph import Graph

NORMALISE = Normalization((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


@pytest.mark.parametrize(("kind", "black"), [("uint8", 0), ("int8", -128)])
def test_bytes_go_in_and_what_keras_computes_of_them_comes_out(small, kind, black):
    options = FileOptions(input_type=kind, normalize=NORMALISE)
    result = convert(small, options=options)
    result.require_equal()
    (image,) = Graph(result.content).inputs
    assert (image.dtype, image.shape) == (kind, (1, 12, 12, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 12, 12, 3))
    (outputs,) = open_engine(result.content, 1, REFERENCE).predict(
        (pixels + black).astype(kind)
    )
    expected = small((pixels / 255 - NORMALISE.mean) / NORMALISE.std)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8"])
def test_encoding_is_the_inverse_of_decoding(kind):
    encoding = InputEncoding(kind, NORMALISE)
    pixels = np.arange(256).repeat(3).reshape(1, 16, 16, 3)
    images = NORMALISE(pixels / 255)
    encoded = encoding.encode(images)
    assert encoded.dtype == kind
    np.testing.assert_array_equal(encoding.decode(encoded), images)


def test_what_is_no_pixel_becomes_black_or_white():
    encoded = InputEncoding("uint8", NORMALISE).encode(np.array([[-9.0] * 3, [9.0] * 3]))
    assert encoded.tolist() == [[0] * 3, [255] * 3]


def test_pixels_of_0_to_1_need_no_arithmetic():
    options = FileOptions(input_type="uint8", normalize=Normalization((0.0,) * 3, (1.0,) * 3))
    types = [node.type for node in Graph(convert(small_model(), options=options).content).nodes]
    assert types.count("DEQUANTIZE") == 1
    assert not {"MUL", "ADD"} & set(types)


def test_a_model_of_integers_and_an_unknown_type_are_errors():
    image = tf.keras.Input((4, 4, 3), dtype="int32")
    model = tf.keras.Model(image, tf.cast(image, tf.float32))
    with pytest.raises(ConversionError, match="int32"):
        convert(model, options=FileOptions(input_type="uint8"))
    with pytest.raises(ConversionError, match="int4"):
        InputEncoding("int4", NORMALISE)
