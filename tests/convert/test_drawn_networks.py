"""Networks that hypothesis draws, of what stands between binary convolutions in practice."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import randomize
from hypothesis import given, note, settings
from hypothesis import strategies as st

from larq_bcd.convert import FileOptions, convert
from larq_bcd.convert.inputs import noise

layers = tf.keras.layers


def two_levels(kernel):
    return tf.where(kernel < 0, -0.25, 0.25)


def quantized(x):
    return tf.quantization.fake_quant_with_min_max_vars(x, -4.0, 4.0)


KERNEL_QUANTIZERS = {
    "ste_sign": lambda: "ste_sign",
    "magnitude_aware_sign": lambda: "magnitude_aware_sign",
    "scaled_sign": lambda: "scaled_sign",
    "dorefa": lambda: lq.quantizers.DoReFa(1, "weights"),
    "function": lambda: two_levels,
}
BETWEEN = {
    "norm": layers.BatchNormalization,
    "relu": layers.ReLU,
    "prelu": lambda: layers.PReLU(shared_axes=[1, 2]),
    "pool": lambda: layers.MaxPool2D(2, padding="same"),
    "mean": lambda: layers.AveragePooling2D(2, padding="same"),
    "scale": lambda: lambda x: -0.5 * x,
    "quantized": lambda: quantized,
}
convolutions = st.fixed_dictionaries(
    {
        "filters": st.sampled_from([8, 32, 40, 64]),
        "kernel_size": st.sampled_from([1, 2, 3]),
        "strides": st.sampled_from([1, 1, 2]),
        "padding": st.sampled_from(["valid", "same"]),
        "pad_values": st.sampled_from([0.0, 1.0]),
        "use_bias": st.booleans(),
        "input_quantizer": st.sampled_from(["ste_sign", "approx_sign", "swish_sign"]),
        "kernel_quantizer": st.sampled_from(sorted(KERNEL_QUANTIZERS)),
    }
)
stages = st.tuples(convolutions, st.lists(st.sampled_from(sorted(BETWEEN)), max_size=3))


def _network(drawn, heads):
    image = tf.keras.Input((13, 12, 3))
    x = layers.Conv2D(32, 3, name="stem")(image)
    for number, (options, between) in enumerate(drawn):
        quantizer = KERNEL_QUANTIZERS[options["kernel_quantizer"]]()
        options = {**options, "kernel_quantizer": quantizer, "name": f"conv_{number}"}
        if min(x.shape[1:3]) < 4:
            options |= {"kernel_size": 1, "strides": 1}
        shortcut, x = x, lq.layers.QuantConv2D(**options)(x)
        for name in between:
            x = BETWEEN[name]()(x)
        if x.shape == shortcut.shape:
            x = x + shortcut
    x = layers.Flatten()(x)
    dense = lq.layers.QuantDense(
        6, input_quantizer="ste_sign", kernel_quantizer="ste_sign", name="dense"
    )
    outputs = [layers.Dense(5, name="logits")(x), dense(x)]
    model = randomize(tf.keras.Model(image, outputs[:heads]))
    rng = np.random.default_rng(len(drawn))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gains = rng.choice(
                [1.0, 0.6, -0.7, 0.0], layer.gamma.shape, p=[0.4, 0.2, 0.35, 0.05]
            )
            layer.gamma.assign(gains)
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@given(st.lists(stages, min_size=1, max_size=4), st.sampled_from([1, 2]))
@settings(max_examples=100)
def test_what_is_drawn_ships_as_binary_and_computes_the_same(drawn, heads):
    model = _network(drawn, heads)
    note(str(drawn))
    options = FileOptions(dense_as_convolution=True)
    result = convert(model, noise(model, 2), options=options)
    result.require_binary()
    result.require_equal()
    ships_as = {layer.name: layer.ships_as for layer in result.report.layers}
    real = {"stem", "logits"}
    assert {name for name, kind in ships_as.items() if kind == "float"} == real
    tf.keras.backend.clear_session()
