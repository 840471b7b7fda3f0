"""Position embedding, sequence pooling, group average, symmetric max-pooling."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import randomize, run_layer_test
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.layers import GroupAverage, MaxPooling2D, PositionEmbedding, SequencePooling


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [
        (GroupAverage, {"groups": 2}),
        (MaxPooling2D, {"pool_size": (3, 3), "strides": (2, 2), "padding": "symmetric"}),
        (SequencePooling, {"kernel_initializer": "he_normal"}),
    ],
)
def test_gauntlet(rng, tmp_path, layer, arguments):
    run_layer_test(layer, arguments, rng, tmp_path)


@given(size=st.integers(1, 9), pool=st.sampled_from([1, 3, 5]), stride=st.integers(1, 3))
def test_symmetric_pooling_equals_windows_around_every_stride(size, pool, stride):
    images = np.random.default_rng(size).normal(size=(1, size, size, 2)).astype(np.float32) - 5
    pooled = MaxPooling2D(pool, stride, "symmetric")(images).numpy()
    centers = range(0, size, stride)
    margin = pool // 2
    expected = [
        [
            images[0, max(0, i - margin) : i + margin + 1, max(0, j - margin) : j + margin + 1]
            .reshape(-1, 2)
            .max(0)
            for j in centers
        ]
        for i in centers
    ]
    np.testing.assert_array_equal(pooled[0], expected)


def test_group_average_undoes_a_repetition(rng):
    images = rng.normal(size=(2, 3, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(
        GroupAverage(3)(np.concatenate([images] * 3, -1)), images, rtol=1e-6
    )


def test_group_average_of_channels_that_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"4 channels.*groups 3"):
        GroupAverage(3)(np.zeros((1, 2, 2, 4), np.float32))


def test_sequence_pooling_equals_its_equation(rng):
    layer = SequencePooling()
    images = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    layer(images)
    tokens = images.reshape(2, 12, 5)
    weights = np.exp(tokens @ layer.kernel.numpy())
    weights /= weights.sum(1, keepdims=True)
    np.testing.assert_allclose(layer(images), (weights * tokens).sum(1), rtol=1e-5, atol=1e-6)


def test_position_embedding_adds_one_value_to_each_element_and_survives_saving(rng, tmp_path):
    inputs = tf.keras.Input((3, 4, 5))
    layer = PositionEmbedding("ones")
    model = tf.keras.Model(inputs, layer(inputs))
    randomize(model, rng)
    images = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(model(images), images + layer.embedding.numpy())
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_positions_of_an_open_size_are_refused():
    with pytest.raises(ValueError, match="fixed height and width"):
        PositionEmbedding()(tf.keras.Input((None, None, 4)))
