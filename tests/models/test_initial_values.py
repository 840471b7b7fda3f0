"""What a new network starts from, as in the official code."""

import math

import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.layers import InformationRecoupling, QuantShiftMLP
from larq_bcd.models import BNextT, get_model, model_info

CLASSES = 100


def reduced(name, **arguments):
    return get_model(name, **{**model_info(name).reduced, "num_classes": CLASSES, **arguments})


def assert_fills(values, limit):
    """Uniform in plus and minus a limit: within, and all of it."""
    values = np.asarray(values)
    assert np.abs(values).max() <= limit
    assert values.min() < -0.8 * limit
    assert values.max() > 0.8 * limit


def is_binary(layer):
    return isinstance(layer, QuantShiftMLP) or getattr(layer, "kernel_quantizer", None)


@pytest.mark.parametrize(
    ("name", "real"),
    [
        ("BCDNetB", {"stem_conv", "fc", "fc_dist"}),
        ("ReActNet18", {"stem_conv", "stage2_1_shortcut_conv", "fc"}),
        ("ReActNetB", {"stem_conv", "block2_1x1_conv", "fc"}),
        ("BinaryMixerS", {"stem_conv", "fc"}),
        ("BNextT", {"stem_conv", "fc"}),
    ],
)
def test_real_convolutions_and_heads_start_as_pytorch_s(name, real):
    network = reduced(name)
    kernels = {
        layer.name: layer
        for layer in network.layers
        if hasattr(layer, "kernel") and not is_binary(layer)
    }
    assert real <= set(kernels)
    for layer in kernels.values():
        # Of a grouped convolution, the shape has the channels of one group.
        fan_in = math.prod(layer.kernel.shape[:-1])
        assert_fills(layer.kernel, fan_in**-0.5)
        if layer.use_bias:
            assert_fills(layer.bias, fan_in**-0.5)
    if "fc_dist" in kernels:
        assert (kernels["fc"].kernel.numpy() != kernels["fc_dist"].kernel.numpy()).all()


@pytest.mark.parametrize("name", ["BCDNetA", "ReActNetA", "ReActNet18", "BiRealNet18"])
def test_binary_kernels_start_between_zero_and_a_thousandth(name):
    for layer in filter(is_binary, reduced(name).layers):
        for kernel in (w for w in layer.weights if w.shape.rank == 4):
            assert kernel.numpy().min() >= 0
            assert 0.0008 < kernel.numpy().max() < 0.001


@pytest.mark.parametrize("name", ["BCDNetA", "BNextT"])
def test_the_real_kernels_of_the_first_step_start_as_pytorch_s(name):
    layer = reduced(name, kernel_quantizer=None).get_layer("block1_3x3_conv")
    assert_fills(layer.kernel, math.prod(layer.kernel.shape[:-1]) ** -0.5)


def test_kernels_of_bnext_start_from_a_normal_distribution():
    network = reduced("BNextT")
    kernels = [layer.kernel.numpy().ravel() for layer in filter(is_binary, network.layers)]
    values = np.concatenate(kernels)
    assert abs(values.mean()) < 1e-5
    np.testing.assert_allclose(values.std(), 0.001, rtol=0.02)
    assert values.max() > 0.003


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_an_optimizer_keeps_the_kernels_of_bnext_within_their_range(name):
    layer = reduced("BNextT").get_layer("block1_3x3_conv")
    optimizer = tf.keras.optimizers.get(name)
    optimizer.learning_rate = 100.0
    signs = np.sign(layer.kernel.numpy())
    optimizer.apply_gradients([(tf.constant(-signs), layer.kernel)])
    np.testing.assert_array_equal(layer.kernel, 1.5 * signs)


def test_the_squeeze_of_bnext_starts_as_pytorch_s_convolutions():
    layer = InformationRecoupling(reduction=4)
    layer([tf.zeros((1, 2, 2, 256))] * 2)
    function = layer.hyper_function
    assert_fills(function.hidden_kernel, 1 / 16)
    assert_fills(function.hidden_bias, 1 / 16)
    assert_fills(function.output_kernel, 1 / 8)
    assert_fills(function.output_bias, 1 / 8)


def test_the_authors_count_of_bnext_takes_what_is_not_binary_as_an_eighth():
    info = model_info("BNextT")
    assert round(info.bops / 64 + info.flops / 8, -6) == 77e6
    assert round(info.ops, -6) == 89e6
    assert "0.77e8" in BNextT.__doc__
    assert "0.89e8" in BNextT.__doc__
