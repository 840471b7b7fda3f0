import sys

import tensorflow as tf

from larq_bcd.convert.html_report import html_report
from larq_bcd.convert.pipeline import convert
from larq_bcd.convert.profile import profile
from larq_bcd.tflite.engines import LCE_INDIRECT
from larq_bcd.tflite.graph import Graph


def test_without_the_runtime_each_operator_is_timed_by_itself(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", None)
    result = convert(small)
    found = profile(result.content)
    graph = Graph(result.content)
    assert found.engine == LCE_INDIRECT
    assert not found.whole
    assert found.milliseconds > 0
    assert {one.type: one.count for one in found.operators} == {
        kind: len(graph.nodes_of(kind)) for kind in {node.type for node in graph.nodes}
    }
    page = html_report(result.report, found)
    assert f"One input takes {found.milliseconds:.2f} ms by {LCE_INDIRECT}, on one" in page


def test_a_table_is_timed_with_indices_that_it_has(monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", None)
    words = tf.keras.Input((6,))
    model = tf.keras.Model(words, tf.keras.layers.Embedding(2, 3)(words))
    assert "GATHER" in [one.type for one in profile(convert(model).content).operators]
