"""Fused stages give the bits that the operators give one after the other."""

import functools

import numpy as np
import pytest
from equations import NONE, RELU, RELU6, RELU_N1_TO_1, SAME, pack
from files import same_bits
from flatfile import FlatFile, schema
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd_runtime import Interpreter


class Graph:
    """Grows a graph of the operators that stages are made of, on images of one size."""

    def __init__(self, seed: int, height: int, width: int):
        self.file = FlatFile()
        self.rng = np.random.default_rng(seed)
        self.size = (1, height, width)

    def floats(self, channels: int) -> int:
        return self.file.tensor((*self.size, channels))

    def constant(self, *shape: int) -> int:
        return self.file.constant(self.rng.normal(size=shape).astype(np.float32))

    def binary(self, name, a, b, channels, activation=NONE) -> int:
        options = getattr(schema, f"{name.capitalize()}OptionsT")()
        options.fusedActivationFunction = activation
        kind = getattr(schema.BuiltinOptions, f"{name.capitalize()}Options")
        result = self.floats(channels)
        self.file.builtin(name, [a, b], [result], kind, options)
        return result

    def prelu(self, a, channels) -> int:
        result = self.floats(channels)
        self.file.builtin("PRELU", [a, self.constant(1, 1, channels)], [result])
        return result

    def abs(self, a, channels) -> int:
        """An operator that stays with the runtime, and cuts what the delegate executes."""
        result = self.floats(channels)
        self.file.builtin("ABS", [a], [result])
        return result

    def concatenate(self, a, b, channels) -> int:
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        result = self.floats(channels)
        kind = schema.BuiltinOptions.ConcatenationOptions
        self.file.builtin("CONCATENATION", [a, b], [result], kind, options)
        return result

    def quantize(self, a, channels) -> int:
        result = self.file.tensor((*self.size, -(-channels // 32)), np.int32)
        self.file.custom("LceQuantize", [a], [result])
        return result

    def signs(self, a: int) -> int:
        """Quantizes a tensor of any shape."""
        *rest, channels = (int(size) for size in self.file.tensors[a].shape)
        result = self.file.tensor((*rest, -(-channels // 32)), np.int32)
        self.file.custom("LceQuantize", [a], [result])
        return result

    def convolve(
        self, packed, channels_in, channels_out, window=3, pad_values=0, strides=1
    ) -> int:
        signs = self.rng.choice([False, True], (channels_out, window, window, channels_in))
        constants = [self.constant(channels_out), self.constant(channels_out), -1]
        result = self.floats(channels_out)
        options = {
            "channels_in": channels_in, "dilation_height_factor": 1, "dilation_width_factor": 1,
            "fused_activation_function": NONE, "pad_values": pad_values, "padding": SAME,
            "stride_height": strides, "stride_width": strides,
        }  # fmt: skip
        filters = self.file.constant(pack(signs))
        self.file.custom("LceBconv2d", [packed, filters, *constants], [result], options)
        return result


@functools.cache
def prelu_keeps_minus_zero() -> bool:
    """Whether the runtime's PRELU keeps to LiteRT's definition at -0 and a negative slope.

    It goes by x >= 0, so -0 stays; XNNPACK on x86 without AVX-512 goes by the sign bit, and
    multiplies.
    """
    graph = Graph(0, 1, 1)
    x = graph.floats(1)
    slope = graph.file.constant(np.full((1, 1, 1), -0.5, np.float32))
    result = graph.floats(1)
    graph.file.builtin("PRELU", [x, slope], [result])
    file = graph.file.build([x], [result])
    out = Interpreter(file, fuse=False).predict(np.full((1, 1, 1, 1), -0.0, np.float32))
    assert out == 0.0
    return bool(np.signbit(out).all())


def assert_fusing_changes_nothing(
    file: bytes, kernels: str, threads: int, samples: int = 2
) -> None:
    alone = Interpreter(file, kernels=kernels, fuse=False)
    fused = Interpreter(file, kernels=kernels, num_threads=threads)
    rng = np.random.default_rng(0)
    shapes = [detail.shape[1:] for detail in alone.input_details]
    inputs = [rng.normal(size=(samples, *shape)).astype(np.float32) for shape in shapes]
    # A constant may fix the batch: then both run it sample by sample.
    expected, got = alone.predict(inputs), fused.predict(inputs)
    expected = [expected] if isinstance(expected, np.ndarray) else expected
    got = [got] if isinstance(got, np.ndarray) else got
    for e, g in zip(expected, got):
        if not prelu_keeps_minus_zero() and e.dtype == np.float32:
            e, g = e + np.float32(0), g + np.float32(0)  # +0 of either zero
        same_bits(g, e)


def operators_left(file: bytes) -> list[str]:
    """What the runtime still executes itself, in order."""
    details = Interpreter(file)._runtime._get_ops_details()
    inside = {"LceQuantize", "LceBconv2d", "ADD", "MUL", "PRELU", "CONCATENATION"}
    return [detail["op_name"] for detail in details if detail["op_name"] not in inside]


def react_block(graph: Graph, x: int, channels: int, doubles: bool) -> int:
    """Two binary convolutions with everything that a trained block has around them."""
    t = graph.binary("ADD", x, graph.constant(channels), channels)
    y = graph.convolve(graph.quantize(t, channels), channels, channels)
    o = graph.binary("ADD", y, x, channels)
    o = graph.binary("ADD", o, graph.constant(channels), channels)
    o = graph.prelu(o, channels)
    o = graph.binary("ADD", o, graph.constant(channels), channels)
    a = graph.quantize(graph.binary("ADD", o, graph.constant(channels), channels), channels)
    halves = [
        graph.binary("ADD", graph.convolve(a, channels, channels, window=1), o, channels)
        for _ in range(2 if doubles else 1)
    ]
    if doubles:
        channels *= 2
        z = graph.concatenate(*halves, channels)
    else:
        (z,) = halves
    z = graph.binary("ADD", z, graph.constant(channels), channels)
    z = graph.prelu(z, channels)
    return graph.binary("ADD", z, graph.constant(channels), channels)


@pytest.mark.parametrize("channels", [20, 32, 48, 64, 96, 160])
@pytest.mark.parametrize("threads", [1, 3])
def test_react_blocks(kernels, channels, threads):
    graph = Graph(channels, 7, 9)
    x = graph.floats(channels)
    y = react_block(graph, react_block(graph, x, channels, False), channels, True)
    z = react_block(graph, y, 2 * channels, False)
    assert_fusing_changes_nothing(graph.file.build([x], [z]), kernels, threads)
    assert_fusing_changes_nothing(graph.file.build([x], [y, z]), kernels, threads)


def test_branches_of_a_shift_mlp_add_up(kernels):
    graph = Graph(0, 7, 7)
    x = graph.floats(64)
    words = graph.quantize(graph.binary("ADD", x, graph.constant(64), 64), 64)
    branches = [graph.convolve(words, 64, 64, window=1) for _ in range(3)]
    y = graph.binary("ADD", branches[0], branches[1], 64)
    y = graph.binary("ADD", y, branches[2], 64)
    y = graph.prelu(graph.binary("ADD", y, x, 64), 64)
    assert_fusing_changes_nothing(graph.file.build([x], [y]), kernels, 2)


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("reader", ["later", "earlier", "output"])
def test_a_half_that_is_read_elsewhere_keeps_its_own_place(kernels, half, reader):
    graph = Graph(2, 6, 6)
    x = graph.floats(64)
    words = graph.quantize(x, 64)
    halves = [graph.prelu(graph.convolve(words, 64, 64), 64) for _ in range(2)]
    results = []
    if reader == "earlier":
        results.append(graph.convolve(graph.quantize(halves[half], 64), 64, 64))
    both = graph.prelu(graph.concatenate(*halves, 128), 128)
    if reader == "later":
        results.append(graph.convolve(graph.quantize(halves[half], 64), 64, 64))
        results.append(graph.binary("ADD", halves[half], x, 64))
    if reader == "output":
        results.append(halves[half])
    assert_fusing_changes_nothing(graph.file.build([x], [both, *results]), kernels, 2)


@pytest.mark.parametrize("activation", [NONE, RELU, RELU_N1_TO_1, RELU6])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("shape", [(1,), (64,), (1, 1, 64), (1, 1, 1, 1)])
def test_activations_and_constants(kernels, activation, name, shape):
    graph = Graph(1, 5, 6)
    x = graph.floats(64)
    y = graph.convolve(graph.quantize(x, 64), 64, 64)
    y = graph.binary(name, graph.constant(*shape), y, 64, activation)
    y = graph.binary(name, y, x, 64, activation)
    assert_fusing_changes_nothing(graph.file.build([x], [y]), kernels, 1)


def test_denormal_numbers_are_zero_as_in_xnnpack(kernels):
    graph = Graph(3, 4, 4)
    x = graph.floats(32)
    y = graph.convolve(graph.quantize(x, 32), 32, 32)
    tiny = graph.file.constant(np.float32([1e-20]))
    for _ in range(2):  # to about 1e-39, a denormal number
        y = graph.binary("MUL", y, tiny, 32)
    back = graph.file.constant(np.float32([1e20]))
    assert_fusing_changes_nothing(
        graph.file.build([x], [y, graph.binary("MUL", y, back, 32)]), kernels, 2
    )


@st.composite
def graphs(draw):
    """Any mixture of the operators, values used any number of times, any outputs."""
    graph = Graph(draw(st.integers(0, 999)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    unit = draw(st.sampled_from([1, 20, 32, 64, 72]))
    entries = [graph.floats(unit) for _ in range(draw(st.integers(1, 2)))]
    values = {unit: list(entries), 2 * unit: []}
    packed = []
    results = []
    for _ in range(draw(st.integers(1, 22))):
        channels = draw(st.sampled_from([c for c in values if values[c]]))
        # Mostly the newest values: that makes chains.
        recent = st.integers(1, 3).map(lambda n, v=values[channels]: v[-min(n, len(v))])
        a = draw(recent)
        kind = draw(st.sampled_from(
            ["constant", "ADD", "SUB", "MUL", "prelu", "abs", "quantize", "convolve",
             "concatenate"]
        ))  # fmt: skip
        if kind == "constant":
            name = draw(st.sampled_from(["ADD", "SUB", "MUL"]))
            operands = draw(st.permutations([a, graph.constant(channels)]))
            result = graph.binary(name, *operands, channels)
        elif kind in ("ADD", "SUB", "MUL"):
            result = graph.binary(kind, a, draw(recent), channels)
        elif kind == "prelu":
            result = graph.prelu(a, channels)
        elif kind == "abs":
            result = graph.abs(a, channels)
        elif kind == "concatenate":
            if channels != unit:
                continue
            b = draw(recent)
            channels *= 2
            result = graph.concatenate(a, b, channels)
        else:
            if kind == "quantize" or not packed:
                packed.append((graph.quantize(a, channels), channels))
            words, channels_in = draw(st.sampled_from(packed[-2:]))
            channels = draw(st.sampled_from(list(values)))
            window = draw(st.sampled_from([1, 1, 3]))
            result = graph.convolve(words, channels_in, channels, window)
        values[channels].append(result)
        results.append(result)
    if not results:
        results = [graph.prelu(entries[0], unit)]
    chosen = draw(st.lists(st.sampled_from(results), max_size=3, unique=True))
    return graph.file.build(entries, list(dict.fromkeys([*chosen, results[-1]])))


@given(file=graphs(), threads=st.sampled_from([1, 2]))
def test_any_graph(kernels, file, threads):
    assert_fusing_changes_nothing(file, kernels, threads)


def test_prelu_of_a_stage_keeps_to_its_definition(kernels):
    channels = 72
    graph = Graph(0, 3, 5)
    slopes = graph.rng.normal(size=(1, 1, channels)).astype(np.float32)
    x, y = graph.floats(channels), graph.floats(channels)
    graph.file.builtin("PRELU", [x, graph.file.constant(slopes)], [y])
    result = graph.convolve(graph.quantize(y, channels), channels, 32)
    file = graph.file.build([x], [y, result])
    values = graph.rng.choice(
        np.float32([-np.inf, -1.5, -0.0, 0, 0.3, np.inf]), (3, 5, channels)
    )
    got, _ = Interpreter(file, kernels=kernels).predict(values[None])
    same_bits(got[0], np.where(values < 0, values * slopes, values))


def test_elementwise_operators_beside_binary_ones_are_taken_over():
    graph = Graph(0, 8, 8)
    x = graph.floats(64)
    assert operators_left(graph.file.build([x], [react_block(graph, x, 64, True)])) == [
        "DELEGATE"
    ]


def test_a_shortcut_is_executed_beside_its_reader():
    graph = Graph(0, 8, 8)
    x = graph.floats(32)
    y = graph.binary("ADD", x, graph.convolve(graph.quantize(x, 32), 32, 32), 32)
    doubled = graph.concatenate(y, y, 64)  # could be executed before the runtime's operator
    packed = graph.quantize(graph.abs(y, 32), 32)
    z = graph.binary("ADD", graph.convolve(packed, 32, 64), doubled, 64)
    interpreter = Interpreter(graph.file.build([x], [z]))
    stages = [
        [name for _, name in stage["operators"]]
        for stretch in interpreter.describe()
        for stage in stretch["stages"]
    ]
    # Nothing executes the concatenation: the last stage reads its input again.
    assert stages == [
        ["LceQuantize"],
        ["LceBconv2d", "ADD"],
        ["LceQuantize"],
        ["LceBconv2d", "ADD"],
    ]


def test_elementwise_operators_far_from_binary_ones_are_not():
    graph = Graph(0, 8, 8)
    x = graph.floats(32)
    y = graph.prelu(graph.binary("ADD", x, graph.constant(32), 32), 32)
    file = graph.file.build([x], [y])
    details = [detail["op_name"] for detail in Interpreter(file)._runtime._get_ops_details()]
    unclaimed = Interpreter(file, fuse=False)._runtime._get_ops_details()
    assert details == [detail["op_name"] for detail in unclaimed]


def test_do_not_accept_another_word_than_on_or_off():
    from larq_bcd_runtime.delegate import library_path, runtime

    with pytest.raises(ValueError, match="fuse is 'maybe'"):
        runtime().load_delegate(str(library_path()), {"fuse": "maybe"})
