import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.layers import BatchNormalization

KERAS = tf.keras.layers.BatchNormalization


def step(layer, images, upstream):
    """Output, gradients and moving statistics of a step of training."""

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        variables = layer.trainable_variables
        return y, tape.gradient(y, [x, *variables], output_gradients=upstream)

    outputs, gradients = run(tf.constant(images))
    return [np.asarray(x) for x in (outputs, *gradients, *layer.non_trainable_variables)]


def built(kind, channels, rng, **arguments):
    layer = kind(momentum=0.75, epsilon=1e-5, **arguments)
    layer.build((None, None, None, channels))
    values = [rng.normal(size=channels) for _ in range(3)]
    layer.set_weights([*values, np.abs(rng.normal(size=channels))])
    return layer


def expected(layer, images, upstream):
    """The same in float64, from algorithm 1 and its derivatives."""
    gamma, beta, moving_mean, moving_variance = (w.astype(float) for w in layer.get_weights())
    x, dy = images.astype(float), upstream.astype(float)
    axes, count = (0, 1, 2), x[..., 0].size
    mean, variance = x.mean(axes), x.var(axes)
    deviation = np.sqrt(variance + 1e-5)
    normal = (x - mean) / deviation
    of_gamma, of_beta = (dy * normal).sum(axes), dy.sum(axes)
    of_x = gamma / deviation * (dy - of_beta / count - normal * of_gamma / count)
    moved = (
        0.75 * moving + 0.25 * value
        for moving, value in (
            (moving_mean, mean),
            (moving_variance, variance * count / (count - 1)),
        )
    )
    return [normal * gamma + beta, of_x, of_gamma, of_beta, *moved]


@pytest.mark.parametrize("shape", [(8, 6, 5, 16), (2, 1, 1, 3), (1, 7, 7, 4), (3, 9, 2, 1)])
def test_outputs_gradients_and_statistics(shape, rng):
    images = rng.normal(3, 2, shape).astype(np.float32)
    upstream = rng.normal(size=shape).astype(np.float32)
    layer = built(BatchNormalization, shape[-1], rng)
    wanted = expected(layer, images, upstream)
    for ours, reference in zip(step(layer, images, upstream), wanted, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=2e-4, atol=2e-5)


def test_statistics_keep_their_digits(rng):
    images = (8 * rng.normal(3, 1, (64, 64, 64, 8))).astype(np.float32)
    x = images.astype(float)
    mean, deviation = x.mean((0, 1, 2)), x.std((0, 1, 2))
    errors = {}
    for kind in (KERAS, BatchNormalization):
        layer = kind(momentum=0.0)
        layer.build(images.shape)
        tf.function(layer)(tf.constant(images), training=True)
        of_mean = np.abs(layer.moving_mean - mean) / deviation
        of_deviation = np.abs(np.sqrt(layer.moving_variance) / deviation - 1)
        errors[kind] = max(of_mean.max(), of_deviation.max())
    assert errors[BatchNormalization] < 2e-6
    # The reason for the layer: were TensorFlow's own as good, it could go.
    assert errors[KERAS] > 5 * errors[BatchNormalization]


def test_elsewhere_it_is_keras_own(rng):
    images = tf.constant(rng.normal(size=(4, 3, 3, 8)).astype(np.float32))
    ours = built(BatchNormalization, 8, rng)
    keras = KERAS.from_config(ours.get_config())
    keras.build(images.shape)
    keras.set_weights(ours.get_weights())
    for training in (False, None, True):  # True without a graph
        np.testing.assert_array_equal(
            ours(images, training=training), keras(images, training=training)
        )
    ours.trainable = keras.trainable = False
    found, reference = (tf.function(x)(images, training=True) for x in (ours, keras))
    np.testing.assert_array_equal(found, reference)


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}, {"axis": 1}])
def test_what_the_exact_kernel_does_not_do_is_left_to_keras(arguments, rng):
    images = tf.constant(rng.normal(size=(4, 3, 3, 3)).astype(np.float32))
    found, reference = (
        tf.function(kind(**arguments))(images, training=True)
        for kind in (BatchNormalization, KERAS)
    )
    np.testing.assert_allclose(found, reference, atol=1e-6)


def test_bfloat16_has_statistics_of_float32(rng):
    images = rng.normal(3, 2, (8, 6, 6, 4)).astype(np.float32)
    layer = BatchNormalization(momentum=0.0, dtype="mixed_bfloat16")
    half = tf.cast(images, tf.bfloat16)
    layer.build(half.shape)
    outputs, *_ = step(layer, half, tf.ones_like(half))
    assert outputs.dtype == tf.bfloat16.as_numpy_dtype
    exact = tf.cast(half, tf.float32).numpy().astype(float)
    np.testing.assert_allclose(layer.moving_mean, exact.mean((0, 1, 2)), rtol=1e-6)


def test_a_saved_model_loads_by_its_own_name(tmp_path, rng):
    image = tf.keras.Input((4, 4, 8))
    model = tf.keras.Model(image, BatchNormalization(name="bn")(image))
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("bn")) is BatchNormalization
