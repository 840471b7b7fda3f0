import subprocess
import sys

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import randomize, small_model

from larq_bcd.convert import FileOptions, convert
from larq_bcd.convert.lce import convert_model
from larq_bcd.errors import UserError
from larq_bcd.tflite.engines import UNFUSED, open_engine
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.schema import schema

layers = tf.keras.layers


def recurrent(layer):
    steps = tf.keras.Input((8, 12), batch_size=1)
    return randomize(tf.keras.Model(steps, layers.Dense(3)(layer(16)(steps))))


def _two_signatures():
    """A file with a subgraph and a signature of its own for each of two functions."""

    class Two(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(tf.random.normal((3, 3, 4, 5), seed=0))

        @tf.function(input_signature=[tf.TensorSpec((1, 6, 6, 4))])
        def first(self, x):
            return {"y": tf.nn.relu(tf.nn.conv2d(x, self.kernel, 1, "SAME"))}

        @tf.function(input_signature=[tf.TensorSpec((1, 6, 6, 4))])
        def second(self, x):
            return {"z": tf.nn.conv2d(x, self.kernel, 2, "VALID") + 1.0}

    two = Two()
    functions = [two.first.get_concrete_function(), two.second.get_concrete_function()]
    return tf.lite.TFLiteConverter.from_concrete_functions(functions, two).convert()


def _quantized():
    """int8 activations and weights, one scale for each channel."""
    image = tf.keras.Input((8, 8, 3), batch_size=1)
    x = layers.Conv2D(4, 3, activation="relu")(image)
    model = randomize(tf.keras.Model(image, layers.Dense(2)(layers.Flatten()(x))))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(0)
    converter.representative_dataset = lambda: (
        [rng.normal(size=(1, 8, 8, 3)).astype(np.float32)] for _ in range(4)
    )
    return converter.convert()


FILES = {
    "GRU": lambda: convert_model(recurrent(layers.GRU))[0],
    "SimpleRNN": lambda: convert_model(recurrent(layers.SimpleRNN))[0],
    "LSTM": lambda: convert_model(recurrent(layers.LSTM))[0],
    "binary": lambda: convert_model(small_model())[0],
    "converted": lambda: convert(small_model(), options=FileOptions(head="int8")).content,
    "quantized": _quantized,
    "two signatures": _two_signatures,
}


@pytest.fixture(scope="module")
def contents():
    known = {}

    def content(name):
        if name not in known:
            known[name] = FILES[name]()
        return known[name]

    return content


def run(content):
    engine = open_engine(content, 1, UNFUSED)
    rng = np.random.default_rng(1)
    return engine.predict(
        *(rng.normal(size=v.shape).astype(v.dtype) for v in Graph(content).inputs)
    )


def plain(thing):
    """What an object of the schema holds, for comparison."""
    if isinstance(thing, np.ndarray):
        return thing.tolist()
    if isinstance(thing, list):
        return [plain(one) for one in thing]
    if hasattr(thing, "__dict__"):
        return {key: plain(value) for key, value in vars(thing).items()}
    return thing


def described(content):
    """All that a file says, without the numbers of buffers, tensors and codes."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)

    def tensor(graph, number):
        if number < 0:
            return None
        found = plain(graph.tensors[number])
        found["buffer"] = plain(model.buffers[found["buffer"]].data) or []
        found["type"] = int(found["type"])
        return found

    def operator(graph, one):
        found = plain(one)
        code = plain(model.operatorCodes[found.pop("opcodeIndex")])
        tensors = {
            key: [tensor(graph, i) for i in found.pop(key) or ()]
            for key in ("inputs", "outputs", "intermediates")
        }
        return found, code, tensors

    graphs = [
        (graph.name, [operator(graph, one) for one in graph.operators])
        for graph in model.subgraphs
    ]
    signatures = [
        (one.signatureKey, one.subgraphIndex, side, entry.name,
         tensor(model.subgraphs[one.subgraphIndex], entry.tensorIndex))
        for one in model.signatureDefs or ()
        for side in ("inputs", "outputs")
        for entry in getattr(one, side)
    ]  # fmt: skip
    metadata = [(m.name, plain(model.buffers[m.buffer].data)) for m in model.metadata or ()]
    return graphs, signatures, metadata, model.description, model.version


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_read_and_written_says_and_computes_the_same(contents, name):
    content = contents(name)
    graph = Graph(content)
    written = graph.write()
    assert described(written) == described(content)
    graph.tidy()
    for ours in (written, graph.write()):
        for a, b in zip(run(ours), run(content), strict=True):
            np.testing.assert_array_equal(a, b)


def test_every_signature_still_runs(contents):
    content = contents("two signatures")
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 4)).astype(np.float32)
    before, after = (
        tf.lite.Interpreter(model_content=one) for one in (content, Graph(content).write())
    )
    assert after.get_signature_list() == before.get_signature_list()
    for key in before.get_signature_list():
        ours, theirs = (one.get_signature_runner(key)(x=x) for one in (after, before))
        assert ours.keys() == theirs.keys()
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name])


@pytest.mark.parametrize("layer", [layers.GRU, layers.SimpleRNN])
@pytest.mark.parametrize("passes", [(), ("common", "offsets", "sums")], ids=["none", "some"])
def test_a_recurrent_network_is_converted(layer, passes):
    result = convert(recurrent(layer), options=FileOptions(passes=passes))
    result.require_equal()
    assert [node.type for node in Graph(result.content).nodes].count("WHILE") == 1


def test_what_is_not_known_is_kept(contents):
    graph = Graph(contents("binary"))
    graph.metadata["NOBODY_KNOWS"] = b"\x01\x02"
    graph = Graph(graph.write())
    # A custom operator of somebody else's, with options in a format of his own.
    code, packed = schema.OperatorCodeT(), schema.OperatorT()
    code.customCode, code.builtinCode = b"Theirs", schema.BuiltinOperator.CUSTOM
    packed.customOptions = np.frombuffer(b"not a flexbuffer", np.uint8)
    model = schema.ModelT.InitFromPackedBuf(graph.write(), 0)
    model.operatorCodes.append(code)
    packed.opcodeIndex = len(model.operatorCodes) - 1
    packed.inputs, packed.outputs = list(model.subgraphs[0].outputs), []
    model.subgraphs[0].operators.append(packed)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")

    graph = Graph(bytes(builder.Output()))
    graph.tidy()
    written = Graph(graph.write())
    assert written.metadata["NOBODY_KNOWS"] == b"\x01\x02"
    (theirs,) = written.nodes_of("Theirs")
    assert bytes(theirs._packed.customOptions) == b"not a flexbuffer"


def test_options_of_a_newer_schema_are_not_lost_in_silence(contents):
    graph = Graph(contents("binary"))
    node = graph.nodes_of("FULLY_CONNECTED")[0]
    node.options, node._packed.builtinOptionsType = None, 255
    with pytest.raises(UserError, match="FULLY_CONNECTED whose options only a newer"):
        graph.write()


def test_values_know_what_writes_and_what_reads_them(contents):
    graph = Graph(contents("binary"))
    first, second = graph.nodes_of("LceBconv2d")
    sign = first.data.producer
    assert sign.type == "LceQuantize"
    assert sign.output.uses == [(first, 0)]
    assert first.inputs[1].constant.dtype == np.int32
    assert first.data.constant is None
    second.set_input(0, sign.output)
    assert sign.output.uses == [(first, 0), (second, 0)]
    sign.output.replace_uses(Value.new(sign.output.shape, np.int32, "other"))
    assert sign.output.uses == []
    assert first.data is second.data


def test_a_new_operator_comes_right_before_the_first_that_needs_it(contents):
    graph = Graph(contents("binary"))
    node = graph.nodes_of("LceQuantize")[-1]
    before = node.data
    doubled = Value.new(before.shape, np.float32, "doubled")
    graph.add_node("ADD", [before, before], [doubled])
    node.set_input(0, doubled)
    graph.tidy()
    position = graph.nodes.index(node)
    assert graph.nodes[position - 1].output is doubled
    assert Graph(graph.write()).nodes[position - 1].type == "ADD"


def test_what_nothing_uses_and_constants_that_are_there_twice_go():
    graph = Graph(convert_model(small_model())[0])
    content = graph.write()
    unused = Value.new((1,), np.float32, "unused")
    zeros = [Value.of(np.zeros(1, np.float32), name) for name in ("zeros", "same")]
    graph.add_node("ADD", zeros, [unused])
    graph.tidy()
    assert graph.write() == content
    total = Value.new((1,), np.float32, "total")
    graph.outputs.append(total)
    added = graph.add_node("ADD", zeros, [total])
    graph.tidy()
    assert added.inputs[0] is added.inputs[1]


def test_the_file_is_read_without_tensorflow_keras_or_larq():
    """The package itself settles Keras; its modules of the file need none of that."""
    code = (
        "import sys, types, pathlib\n"
        "package = types.ModuleType('larq_bcd')\n"
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['larq_bcd'] = package\n"
        "import larq_bcd.tflite.graph, larq_bcd.tflite.engines, larq_bcd.tflite.windows\n"
        "import larq_bcd.tflite.signs, larq_bcd.tflite.quantization\n"
        "names = ('tensorflow', 'keras', 'tf_keras', 'larq', 'larq_compute_engine')\n"
        "print([name for name in names if name in sys.modules])\n"
    )
    folder = next(iter(sys.modules["larq_bcd"].__path__))
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
