"""The gauntlet that every layer runs."""

import numpy as np
import tensorflow as tf


def randomize(layer_or_model, rng, scale=0.5):
    """Gives every weight a value that its initializer would not; variances stay."""
    for variable in layer_or_model.weights:
        if "variance" not in variable.name:
            variable.assign(rng.normal(size=variable.shape, scale=scale))


def exact_kernel(rng, shape):
    """A kernel of scale exactly 1/2, so that sums of its products have no rounding."""
    return rng.choice([-0.5, 0.5], size=shape).astype(np.float32)


def run_layer_test(layer_class, arguments, rng, tmp_path, shape=(6, 5, 8)):
    """Serialization, static and dynamic sizes, mixed precision and gradients of a layer."""
    layer = layer_class(name="layer", **arguments)
    inputs = tf.keras.Input(shape)
    model = tf.keras.Model(inputs, layer(inputs))
    randomize(model, rng)
    images = rng.normal(size=(2, *shape)).astype(np.float32)
    expected = model(images).numpy()
    assert expected.shape[1:] == model.output_shape[1:]
    assert layer.compute_output_shape((None, *shape)).as_list() == [None, *expected.shape[1:]]

    _config_is_complete(layer_class, layer, arguments)
    _survives_saving(model, images, expected, tmp_path)
    _takes_any_size(layer_class, arguments, layer, images, expected)
    _trains_in_mixed_precision(layer_class, arguments, images)


def _config_is_complete(layer_class, layer, arguments):
    config = layer.get_config()
    assert set(arguments) <= set(config)
    again = layer_class.from_config(config).get_config()
    assert _unbuilt(again) == _unbuilt(config)


def _unbuilt(config):
    """The configuration without the shapes that nested objects were built with."""
    if isinstance(config, dict):
        return {key: _unbuilt(value) for key, value in config.items() if key != "build_config"}
    return config


def _survives_saving(model, images, expected, tmp_path):
    for target in ("model.keras", "model.h5", "saved_model"):
        model.save(tmp_path / target)
        loaded = tf.keras.models.load_model(tmp_path / target)
        np.testing.assert_array_equal(loaded(images).numpy(), expected)


def _takes_any_size(layer_class, arguments, layer, images, expected):
    dynamic = layer_class(**arguments)
    inputs = tf.keras.Input((None, None, images.shape[-1]))
    model = tf.keras.Model(inputs, dynamic(inputs))
    dynamic.set_weights(layer.get_weights())
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected)


def _trains_in_mixed_precision(layer_class, arguments, images):
    layer = layer_class(dtype="mixed_bfloat16", **arguments)
    for _ in range(3):
        with tf.GradientTape() as tape:
            outputs = layer(images)
            loss = tf.reduce_mean(tf.cast(outputs, tf.float32) ** 2)
        assert outputs.dtype == tf.bfloat16
        gradients = tape.gradient(loss, layer.trainable_weights)
        for variable, gradient in zip(layer.trainable_weights, gradients, strict=True):
            assert variable.dtype == tf.float32
            assert np.isfinite(gradient.numpy()).all(), variable.name
            variable.assign_sub(0.1 * gradient)
