import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import BINARY, randomize

from larq_bcd.convert import convert
from larq_bcd.convert.check import check
from larq_bcd.convert.match import match_layers
from larq_bcd.convert.passes import restore_padding

layers = tf.keras.layers


def _padded(size, kernel, stride, depthwise=False, margin=None):
    margin = margin or kernel // 2
    convolution = layers.DepthwiseConv2D if depthwise else layers.Conv2D
    arguments = (kernel,) if depthwise else (8, kernel)
    return randomize(
        tf.keras.Sequential(
            [
                layers.Input((size, size, 3)),
                layers.ZeroPadding2D(margin),
                convolution(*arguments, strides=stride, name="conv"),
            ]
        )
    )


@pytest.mark.parametrize(
    ("size", "kernel", "depthwise", "margin"),
    [
        (16, 3, False, 1),
        (16, 7, False, 3),
        (16, 3, True, 1),
        (16, (3, 5), False, (1, 2)),
    ],
)
def test_a_padding_that_the_converter_changes_is_restored(
    converted, size, kernel, depthwise, margin
):
    model = _padded(size, kernel, 2, depthwise, margin)
    graph, flatbuffer = converted(model)
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("f")
    matches = match_layers(graph, flatbuffer)
    assert check(graph, flatbuffer, matches, x, "noise").faults
    assert restore_padding(flatbuffer, matches).changed == ["conv"]
    flatbuffer.tidy()
    assert not check(graph, flatbuffer, match_layers(graph, flatbuffer), x, "noise").faults


@pytest.mark.parametrize(("size", "stride"), [(15, 2), (16, 1)])
def test_do_not_touch_a_padding_that_is_the_same(converted, size, stride):
    graph, flatbuffer = converted(_padded(size, 3, stride))
    content = flatbuffer.write()
    assert restore_padding(flatbuffer, match_layers(graph, flatbuffer)).changed == []
    assert flatbuffer.write() == content


def test_a_padding_of_packed_signs_is_restored():
    x = image = layers.Input((16, 16, 3))
    x = layers.Conv2D(40, 1)(x)
    x = lq.quantizers.SteSign()(x)
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0)
    options = {**BINARY, "padding": "valid", "pad_values": 0.0}
    x = lq.layers.QuantConv2D(40, 3, strides=2, name="binary", **options)(x)
    result = convert(randomize(tf.keras.Model(image, x)))
    assert result.report.layers[1].ships_as == "binary"
    assert any("padding of binary" in text for text in result.report.changes)
    result.require_equal()
