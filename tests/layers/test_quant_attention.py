import numpy as np
import pytest
import reference
import tensorflow as tf

from larq_bcd.layers import QuantAttention

SHAPE = (3, 2, 8)


def attend(query, key, value, heads, scale):
    """The equations of the layer's documentation, head by head and position by position."""
    batch, height, width, channels = query.shape
    size = channels // heads
    tokens = [reference.sign(x).reshape(batch, -1, heads, size) for x in (query, key, value)]
    out = np.zeros_like(tokens[2])
    for image in range(batch):
        for head in range(heads):
            q, k, v = (x[image, :, head] for x in tokens)
            scores = np.exp(q @ k.T / np.sqrt(size))
            probabilities = scores / scores.sum(1, keepdims=True)
            binary = scale * np.clip(np.round(probabilities / scale), 0, 1)
            out[image, :, head] = binary @ v
    return out.reshape(batch, height, width, channels)


def inputs(rng, count=2):
    return [rng.normal(size=(count, *SHAPE)).astype(np.float32) for _ in range(3)]


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("scale", [0.05, 0.3])
def test_equals_its_equations(rng, heads, scale):
    layer = QuantAttention(heads)
    tensors = inputs(rng)
    layer(tensors)
    layer.scale.assign(scale)
    expected = attend(*tensors, heads, np.float32(scale))
    np.testing.assert_allclose(layer(tensors), expected, rtol=1e-5, atol=1e-6)


def test_probabilities_have_two_values(rng):
    layer = QuantAttention(2, scale_initializer=tf.keras.initializers.Constant(0.2))
    tensors = inputs(rng)
    layer(tensors)
    values = np.unique(layer.attention(tensors))
    np.testing.assert_array_equal(values, np.float32([0, 0.2]))


def test_without_a_quantizer_it_is_real_attention(rng):
    layer = QuantAttention(1, input_quantizer=None)
    query, key, value = inputs(rng)
    flat = [x.reshape(2, -1, SHAPE[-1]) for x in (query, value, key)]
    expected = tf.keras.layers.Attention()([flat[0] / np.sqrt(8), flat[1], flat[2]])
    result = tf.reshape(layer([query, key, value]), expected.shape)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_gradient_of_the_scale_and_straight_through_rounding(rng):
    """d/ds of s clip(round(p/s), 0, 1) is the rounded ratio, less the ratio where inside."""
    layer = QuantAttention(2, scale_initializer=tf.keras.initializers.Constant(0.2))
    tensors = inputs(rng)
    layer(tensors)
    with tf.GradientTape() as tape:
        probabilities = layer.attention(tensors)
    gradient = tape.gradient(probabilities, layer.scale)
    signs = [reference.sign(x).reshape(2, -1, 2, 4) for x in tensors[:2]]
    scores = np.exp(np.einsum("bnhd,bmhd->bhnm", *signs) / 2)
    ratio = scores / scores.sum(-1, keepdims=True) / 0.2
    inside = ratio < 1
    expected = (np.clip(np.round(ratio), 0, 1) - np.where(inside, ratio, 0)).sum()
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)


@pytest.mark.parametrize("target", ["model.keras", "model.h5", "saved_model"])
def test_survives_saving_and_takes_any_size(rng, tmp_path, target):
    arguments = {"heads": 2, "input_quantizer": "ste_sign", "scale_initializer": "ones"}
    entries = [tf.keras.Input((None, None, 8)) for _ in range(3)]
    layer = QuantAttention(**arguments)
    model = tf.keras.Model(entries, layer(entries))
    layer.scale.assign(0.2)
    model.save(tmp_path / target)
    loaded = tf.keras.models.load_model(tmp_path / target)
    tensors = inputs(rng)
    np.testing.assert_array_equal(loaded(tensors), layer(tensors))
    assert set(arguments) <= set(layer.get_config())


def test_trains_in_mixed_precision(rng):
    layer = QuantAttention(2, dtype="mixed_bfloat16")
    tensors = [tf.Variable(x) for x in inputs(rng)]
    with tf.GradientTape() as tape:
        outputs = layer(tensors)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
    assert outputs.dtype == tf.bfloat16
    for gradient in tape.gradient(loss, [*tensors, layer.scale]):
        assert np.isfinite(gradient.numpy()).all()


@pytest.mark.parametrize(
    ("heads", "message"), [(0, "heads=0 is not supported"), (3, r"8 channels.*heads 3")]
)
def test_other_heads_are_refused(rng, heads, message):
    with pytest.raises(ValueError, match=message):
        QuantAttention(heads)(inputs(rng))
