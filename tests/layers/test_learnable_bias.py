import numpy as np
import pytest
import tensorflow as tf
from helpers import randomize, run_layer_test

from larq_bcd.layers import LearnableBias


def test_gauntlet(rng, tmp_path):
    arguments = {"initializer": "ones", "regularizer": "l2", "constraint": "non_neg"}
    run_layer_test(LearnableBias, arguments, rng, tmp_path)


def test_adds_one_value_to_each_channel(rng):
    layer = LearnableBias()
    images = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    layer(images)
    randomize(layer, rng)
    np.testing.assert_array_equal(layer(images), images + layer.bias.numpy())


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, None)])
def test_unknown_channels_are_refused(shape):
    with pytest.raises(ValueError, match=r"LearnableBias.*fixed number of channels"):
        LearnableBias().build(shape)


def test_nchw_is_refused():
    tf.keras.backend.set_image_data_format("channels_first")
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Permute"):
        LearnableBias()
