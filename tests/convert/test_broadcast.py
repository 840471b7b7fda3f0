import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.convert import convert
from larq_bcd.tflite.graph import Graph


@pytest.mark.parametrize("logical", [tf.logical_and, tf.logical_or])
@pytest.mark.parametrize("dimensions", [4, 5])
def test_logical_operators_of_volumes_do_not_end_the_process(logical, dimensions):
    shape = (2, 3, 2, 2)[-dimensions + 1 :]
    volume = tf.keras.Input(shape)
    both = logical(volume > 0.5, tf.reduce_max(volume, -1, keepdims=True) > 0.7)
    model = tf.keras.Model(volume, tf.cast(both, tf.float32))
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    result = convert(model, x)  # which would abort
    result.require_equal()
    (node,) = Graph(result.content).nodes_of("LOGICAL_AND", "LOGICAL_OR")
    same = [operand.shape == node.output.shape for operand in node.operands]
    assert same == ([True, True] if dimensions > 4 else [True, False])
