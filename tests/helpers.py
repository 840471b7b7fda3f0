"""The gauntlets that every layer and every network runs."""

import re

import numpy as np
import tensorflow as tf

from larq_bcd.convert import convert
from larq_bcd.layers import QuantAttention
from larq_bcd.models import get_model, model_info
from larq_bcd.models.packed import pack, unpack


def randomize(layer_or_model, rng, scale=0.5):
    """Gives every weight a value that its initializer would not; variances stay.

    So does the scale of binary probabilities, and hidden biases are positive: a scale that
    rounds all of them to zero, or a dead hidden value, would hide what comes before.
    """
    for variable in layer_or_model.weights:
        if "variance" in variable.name or variable.name.endswith("attention/scale:0"):
            continue
        values = rng.normal(size=variable.shape, scale=scale)
        variable.assign(1 + np.abs(values) if "hidden_bias" in variable.name else values)


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


def reduced_network(name, rng, **arguments):
    """A network of its reduced size with random weights, and two images for it."""
    model = get_model(name, **model_info(name).reduced, **arguments)
    randomize(model, rng, scale=0.1)
    for layer in model.layers:
        if isinstance(layer, QuantAttention):
            # Most probabilities lie below it, where the rounding has a gradient.
            layer.scale.assign(2 / np.prod(layer.output_shape[1:3]))
    return model, rng.normal(size=(2, *model.input_shape[1:])).astype(np.float32)


def run_network_test(name, rng, folder, fresh_process):
    """Shapes, saving, conversion, agreement with Keras, packing and a training step."""
    info = model_info(name)
    model, images = reduced_network(name, rng)
    _has_its_shapes(info, model)
    logits = model(images).numpy()
    model.save(folder / "model.keras")
    np.save(folder / "images.npy", images)
    fresh_process.start(folder)  # which loads it while this one converts
    _converts(info, model, images)
    fresh_process.wait()
    np.testing.assert_array_equal(np.load(folder / "logits.npy"), logits)
    _is_packed(info, model, images, logits)
    _moves_every_weight(model, images)


def _has_its_shapes(info, model):
    assert model.output_shape == (None, info.reduced["num_classes"])
    features = get_model(info.name, include_top=False, **info.reduced)
    assert features.output_shape == model.get_layer("pool").input_shape
    assert len(features.output_shape) == 4
    heads = [model.get_layer(head) for head in info.heads]
    assert features.count_params() < model.count_params()
    assert all(head.output_shape == model.output_shape for head in heads)
    others = {layer.name for layer in model.layers if isinstance(layer, tf.keras.layers.Dense)}
    assert others == set(info.heads)


def _converts(info, model, images):
    result = convert(model, images, allow_float_fallback=bool(info.float_products))
    left = [layer.name for layer in result.report.fallbacks]
    assert all(any(re.fullmatch(p, name) for p in info.float_products) for name in left), left
    assert bool(left) == bool(info.float_products)
    binary = [layer for layer in result.report.layers if layer.ships_as == "binary"]
    assert bool(binary) == info.is_binary
    result.require_equal()


def _is_packed(info, model, images, logits):
    """It computes the same, bit for bit, when its binary kernels have been mere signs."""
    arrays = pack(model)
    assert any(name.endswith(".signs") for name in arrays) == info.is_binary
    for variable in model.weights:
        variable.assign(tf.zeros_like(variable))
    unpack(arrays, model)
    np.testing.assert_array_equal(model(images), logits)


def _moves_every_weight(model, images):
    before = [weight.numpy() for weight in model.trainable_weights]
    labels = np.arange(len(images)) % model.output_shape[-1]
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    gradients = tape.gradient(loss, model.trainable_weights)
    optimizer = tf.keras.optimizers.SGD(1.0)
    optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
    for old, new in zip(before, model.trainable_weights, strict=True):
        assert np.isfinite(new.numpy()).all(), new.name
        # A constant before a batch norm is subtracted again: its gradient is zero.
        canceled = new.name.endswith("beta_bias:0")
        assert canceled or (old != new.numpy()).any(), new.name
