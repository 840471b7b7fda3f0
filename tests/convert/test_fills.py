import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import BINARY

from larq_bcd.convert import convert
from larq_bcd.convert.passes import write_out_fills
from larq_bcd.tflite.signs import unpack_signs


def untrained(value: float) -> tf.keras.Model:
    """A network whose kernel has one sign, and is large enough for the converter to notice."""
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input((2, 2, 1024)),
            lq.layers.QuantConv2D(
                1024, 1, name="binary", input_quantizer="ste_sign", **BINARY,
                kernel_initializer=tf.keras.initializers.Constant(value),
            ),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("value", [0.1, -0.1])
def test_the_kernel_of_an_untrained_network_is_in_the_file(converted, value):
    model = untrained(value)
    _, file = converted(model)
    # The precondition: what TensorFlow's converter makes of it.
    assert [node.type for node in file.nodes].count("FILL") == 1
    assert len(write_out_fills(file).changed) == 1
    assert [node.type for node in file.nodes] == ["LceQuantize", "LceBconv2d"]
    words = file.nodes[1].constant(1)
    np.testing.assert_array_equal(unpack_signs(words, 1024), np.sign(value))
    result = convert(model)
    assert result.report.check.faults == []
    assert [layer.ships_as for layer in result.report.layers] == ["binary"]
    assert result.report.file_bytes > 1024 * 1024 / 8


def test_do_not_touch_a_file_without_fills(converted, small):
    _, file = converted(small)
    content = file.write()
    assert write_out_fills(file).changed == []
    assert file.write() == content
