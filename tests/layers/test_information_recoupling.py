import numpy as np
import pytest
import tensorflow as tf
from helpers import randomize

from larq_bcd.layers import InformationRecoupling


def test_equals_its_equation(rng):
    layer = InformationRecoupling(reduction=2)
    branch, source = rng.normal(size=(2, 3, 4, 5, 8)).astype(np.float32)
    layer([branch, source])
    randomize(layer, rng)
    share = layer.share.numpy()
    g = layer.hyper_function
    mean = (share * source + (1 - share) * branch).mean((1, 2))
    hidden = np.maximum(mean @ g.hidden_kernel.numpy() + g.hidden_bias.numpy(), 0)
    weight = 1 / (1 + np.exp(-(hidden @ g.output_kernel.numpy() + g.output_bias.numpy())))
    expected = weight[:, None, None] * branch
    np.testing.assert_allclose(layer([branch, source]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["model.keras", "model.h5", "saved_model"])
def test_survives_saving_and_takes_any_size(rng, tmp_path, target):
    arguments = {"reduction": 4, "share_initializer": "ones"}
    entries = [tf.keras.Input((None, None, 8)) for _ in range(2)]
    layer = InformationRecoupling(**arguments)
    model = tf.keras.Model(entries, layer(entries))
    randomize(model, rng)
    model.save(tmp_path / target)
    loaded = tf.keras.models.load_model(tmp_path / target)
    tensors = list(rng.normal(size=(2, 2, 3, 4, 8)).astype(np.float32))
    np.testing.assert_array_equal(loaded(tensors), layer(tensors))
    assert set(arguments) <= set(layer.get_config())


def test_trains_in_mixed_precision(rng):
    layer = InformationRecoupling(dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        outputs = layer(list(rng.normal(size=(2, 2, 3, 4, 8)).astype(np.float32)))
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
    assert outputs.dtype == tf.bfloat16
    for gradient in tape.gradient(loss, layer.trainable_weights):
        assert np.isfinite(gradient.numpy()).all()


def test_an_optimizer_keeps_the_share_in_the_unit_interval(rng):
    layer = InformationRecoupling()
    layer(list(rng.normal(size=(2, 2, 3, 4, 8)).astype(np.float32)))
    gradient = tf.constant([-1.0, 1.0] * 4)
    tf.keras.optimizers.SGD(3.0).apply_gradients([(gradient, layer.share)])
    np.testing.assert_array_equal(layer.share, [1, 0] * 4)
