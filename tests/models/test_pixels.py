import warnings

import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.models import ReActNetA, describe, model_info, preprocess_input

REDUCED = dict(model_info("ReActNetA").reduced)


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (2, 16, 16, 3), np.uint8)


@pytest.fixture(params=["new", "described", "loaded"])
def network(request, tmp_path):
    network = ReActNetA(**REDUCED)
    if request.param != "new":
        network = describe(network, Preprocessing((16, 16), resize=None))
    if request.param == "loaded":
        network.save(tmp_path / "model.keras")
        network = tf.keras.models.load_model(tmp_path / "model.keras")
    return network


def warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [x for x in caught if "takes normalized images" in str(x.message)]


@pytest.mark.parametrize("use", ["call", "call on floats", "predict"])
def test_pixels_are_warned_of_once(use, network, pixels):
    uses = {
        "call": lambda: network(pixels),
        "call on floats": lambda: network(pixels.astype(np.float32)),
        "predict": lambda: network.predict(pixels, verbose=0),
    }
    (warning,) = warned(uses[use])
    assert "pass larq_bcd.models.preprocess_input(images, " in str(warning.message)
    assert not warned(uses[use])


def test_normalized_images_are_not_warned_of(network, pixels):
    images = preprocess_input(pixels, "ReActNetA")
    assert not warned(lambda: (network(images), network.predict(images, verbose=0)))


def test_a_model_that_takes_pixels_is_not_warned_of(pixels):
    image = tf.keras.Input((16, 16, 3))
    plain = tf.keras.Model(image, tf.keras.layers.Flatten()(image))
    of_pixels = Preprocessing((16, 16), (0.0,) * 3, (1 / 255,) * 3, resize=None)
    assert not warned(lambda: describe(plain, of_pixels)(pixels))


def test_a_network_that_warns_is_saved_as_any_other(network, pixels, tmp_path):
    images = preprocess_input(pixels, "ReActNetA")
    network.save(tmp_path / "saved")
    again = tf.keras.models.load_model(tmp_path / "saved")
    np.testing.assert_array_equal(again(images), network(images))
    clone = tf.keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(clone(images), network(images))
