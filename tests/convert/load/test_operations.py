"""A file is data: what the graph of a SavedModel must not hold."""

import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.python.framework import op_def_registry

from larq_bcd.convert import ConversionError, load_model
from larq_bcd.convert.load.operations import computes_tensors, refuse_operations

layers = tf.keras.layers


class Doing(layers.Layer):
    """A layer that is not registered: a SavedModel holds its operations."""

    def __init__(self, do, **options):
        super().__init__(**options)
        self._do = do

    def call(self, x):
        return self._do(x)


def _saved(folder, do):
    image = tf.keras.Input((4, 4, 3))
    model = tf.keras.Model(image, Doing(do, name="doing")(image))
    model.save(folder, save_format="tf")
    return folder


def _reads(x):
    return x + tf.strings.to_number(tf.io.read_file("/etc/number"))


def _calls_python(x):
    return tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32), x.shape)


def _writes_in_a_branch(x):
    def write():
        with tf.control_dependencies([tf.io.write_file("/tmp/larq_bcd_written", "x")]):
            return tf.identity(x)

    return tf.cond(tf.reduce_sum(x) > 0, write, lambda: x)


@pytest.mark.parametrize(
    ("do", "operation"),
    [(_reads, "ReadFile"), (_calls_python, "PyFunc"), (_writes_in_a_branch, "WriteFile")],
)
def test_a_layer_that_reaches_outside_is_refused(tmp_path, do, operation):
    folder = _saved(tmp_path / "folder", do)
    with pytest.raises(ConversionError, match=f"operation {operation} .*--trust-code"):
        load_model(folder)


def test_a_layer_of_operations_on_tensors_loads(tmp_path):
    def do(x):
        noise = tf.random.normal(tf.shape(x)) * 0.0
        sums = tf.map_fn(lambda row: row * 2, x)
        return tf.cond(tf.reduce_sum(x) > 1e9, lambda: x, lambda: sums) + noise

    folder = _saved(tmp_path / "folder", do)
    x = np.ones((2, 4, 4, 3), np.float32)
    np.testing.assert_allclose(load_model(folder).model(x), 2 * x)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """The graph of a small SavedModel; it is checked to be a sound one."""
    image = tf.keras.Input((4, 4, 3))
    model = tf.keras.Model(image, layers.Dense(2)(layers.Flatten()(image)))
    folder = tmp_path_factory.mktemp("sound") / "folder"
    model.save(folder, save_format="tf")
    graph = tf.__internal__.saved_model.parse_saved_model(str(folder)).meta_graphs[0]
    refuse_operations(folder, graph)
    return graph


def _copy(graph):
    copy = MetaGraphDef()
    copy.CopyFrom(graph)
    return copy


def _restoring(graph):
    node = next(n for n in graph.graph_def.node if n.name == graph.saver_def.restore_op_name)
    return node.attr["f"].func.name


def _function(graph, name):
    return next(f for f in graph.graph_def.library.function if f.signature.name == name)


def test_operations_are_found_in_the_graph_and_in_each_function(tmp_path, graph):
    copy = _copy(graph)
    copy.graph_def.node.add(name="evil", op="EagerPyFunc")
    with pytest.raises(ConversionError, match=r"EagerPyFunc \('evil'\)"):
        refuse_operations(tmp_path, copy)
    for number, function in enumerate(graph.graph_def.library.function):
        copy = _copy(graph)
        copy.graph_def.library.function[number].node_def.add(name="evil", op="WriteFile")
        with pytest.raises(
            ConversionError, match=f"in the function '{function.signature.name}"
        ):
            refuse_operations(tmp_path, copy)


def test_variables_are_restored_by_the_saver_alone(tmp_path, graph):
    name = _restoring(graph)
    assert "RestoreV2" in {node.op for node in _function(graph, name).node_def}
    called = _copy(graph)
    node = called.graph_def.node.add(name="call", op="StatefulPartitionedCall")
    node.attr["f"].func.name = name
    listed = _copy(graph)
    listed.object_graph_def.concrete_functions[name].SetInParent()
    for copy in (called, listed):
        with pytest.raises(ConversionError, match="RestoreV2"):
            refuse_operations(tmp_path, copy)


def test_an_operation_that_tensorflow_does_not_have_is_refused(tmp_path, graph):
    copy = _copy(graph)
    copy.graph_def.node.add(name="custom", op="DoAsYouLike")
    with pytest.raises(ConversionError, match="DoAsYouLike"):
        refuse_operations(tmp_path, copy)


# What the names of operations say that have to do with more than tensors.
_OUTSIDE = re.compile(
    "File|PyFunc|Dataset|Iterator|(?<!Array)Write|Print|Rpc|Send$|Recv|DebugIdentity|Queue|Reader|Table|Session"
    "|Mlir|CustomCall|CustomAggregator|Abort|Restore|Save|Sql|LMDB|Infeed|Outfeed|Remote"
    "|ImmutableConst|Timestamp|Sleep|TPUExecute|TPUCompile|Barrier|Stage|Server|Client|Dump|Import|Export|Worker"
)


def test_of_all_operations_of_tensorflow_none_with_a_name_of_the_outside_is_let_through():
    names = [name for name in dir(tf.raw_ops) if op_def_registry.get(name) is not None]
    assert len(names) > 1300
    let_through = [name for name in names if computes_tensors(name)]
    assert len(let_through) > 600
    assert [name for name in let_through if _OUTSIDE.search(name)] == []


def test_a_folder_without_layers_is_looked_through_too(tmp_path):
    folder = _saved(tmp_path / "folder", _reads)
    (folder / "keras_metadata.pb").write_bytes(b"")
    with pytest.raises(ConversionError, match=r"operation ReadFile .*--trust-code"):
        load_model(folder)
