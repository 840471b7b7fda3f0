"""Operators whose kernels abort the process on more dimensions than they broadcast."""

import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.convert import convert
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.passes import lower_ranks
from larq_bcd.tflite.engines import REFERENCE, EngineError, open_engine
from larq_bcd.tflite.graph import Graph, Value, aborting_operators
from larq_bcd.tflite.ranks import MOST_DIMENSIONS

COMPUTE = {
    "GREATER_EQUAL": np.greater_equal,
    "LOGICAL_AND": np.logical_and,
    "FLOOR_MOD": np.mod,
    "MAXIMUM": np.maximum,
    "SELECT_V2": lambda x, y: np.where(x, y, np.float32(-1)),
    "DIV": np.divide,
}
GIVEN = {"LOGICAL_AND": np.bool_, "SELECT_V2": np.bool_}
GIVES = {"LOGICAL_AND": np.bool_, "GREATER_EQUAL": np.bool_}


def _file(small_content, kind, x, y):
    """A file of one operator, with a constant that is broadcast."""
    graph = Graph(small_content)
    given = Value.new(x.shape, x.dtype, "x")
    result = Value.new(x.shape, GIVES.get(kind, np.float32), "y")
    operands = [given, Value.of(y, "constant")]
    if kind == "SELECT_V2":
        operands.append(Value.of(np.array(-1, np.float32), "minus"))
    node = graph.add_node(kind, operands, [result])
    return Graph(graph.part([node], [given], [result]))


@pytest.fixture(scope="module")
def one_of(small):
    content, _ = convert_model(small)
    rng = np.random.default_rng(0)

    def build(kind, shape, other):
        dtype = GIVEN.get(kind, np.float32)
        x = rng.normal(size=shape)
        y = rng.normal(size=other).astype(np.bool_ if kind == "LOGICAL_AND" else np.float32)
        x = x > 0 if dtype == np.bool_ else x.astype(dtype)
        return _file(content, kind, x, y), x, COMPUTE[kind](x, y)

    return build


@pytest.mark.parametrize(
    ("shape", "other"),
    [
        ((1, 2, 3, 3, 2, 2, 4), (4,)),
        ((1, 2, 3, 3, 2, 2, 4), ()),
        ((1, 2, 2, 3, 3, 2, 4), (1, 2, 1, 1, 1, 1, 4)),
    ],
)
@pytest.mark.parametrize("kind", COMPUTE)
def test_operators_of_many_dimensions_compute_the_same_in_few(one_of, kind, shape, other):
    graph, x, expected = one_of(kind, shape, other)
    assert aborting_operators(graph.write()) == [f"{kind} of 7 dimensions"]
    assert lower_ranks(graph).changed == [kind]
    content = graph.write()
    assert aborting_operators(content) == []
    (found,) = open_engine(content, 1, REFERENCE).predict(x)
    np.testing.assert_array_equal(found, expected)


def test_do_not_touch_what_the_kernels_know(one_of):
    for kind, most in MOST_DIMENSIONS.items():
        if kind in COMPUTE:
            graph, x, expected = one_of(kind, (1,) * (most - 2) + (3, 4), (4,))
            assert lower_ranks(graph).changed == []
            (found,) = open_engine(graph.write(), 1, REFERENCE).predict(x)
            np.testing.assert_array_equal(found, expected)


def test_what_cannot_be_lowered_is_refused_before_it_aborts(one_of):
    graph, _, _ = one_of("LOGICAL_AND", (2, 2, 3, 3, 4), (2, 1, 3, 1, 4))
    assert lower_ranks(graph).changed == []
    with pytest.raises(EngineError, match="abort on LOGICAL_AND of 5 dimensions"):
        open_engine(graph.write(), 1, REFERENCE)


def test_a_model_of_conditions_in_five_dimensions_converts():
    clip = tf.keras.Input((2, 6, 6, 3))
    of_channel = tf.constant([True, False, True])
    model = tf.keras.Model(clip, tf.cast(tf.logical_and(clip > 0, of_channel), tf.float32))
    report = convert(model).report
    assert report.check.faults == []
    assert any("LOGICAL_AND have fewer dimensions" in change for change in report.changes)
