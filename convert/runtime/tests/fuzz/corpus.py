"""Writes files for the fuzzer to begin with, and for the thread sanitizer.

`corpus.py DIRECTORY seeds` writes small ones with every operator in every role, and `shared`
some that are large enough for several threads.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from embedding import EmbeddingGraph, any_embedding, embedded_network
from equations import SAME, Convolution, random_data
from files import convolution_file
from flatfile import schema
from moving import MovingGraph
from stems import StemGraph, padded_stem
from test_fusion import Graph, react_block
from test_moves import shift_mlp

BuiltinOperator = schema.BuiltinOperator


def blocks():
    """Yields the graphs of blocks, and of what moves around convolutions."""
    for channels, doubles in ((3, False), (32, True), (64, True)):
        graph = Graph(channels, 3, 4)
        x = graph.floats(channels)
        yield graph.file.build([x], [react_block(graph, x, channels, doubles)])
    for how in ("floats", "slices", "gather"):
        graph = MovingGraph(0, 4, 4)
        x = graph.floats(128)
        yield graph.file.build([x], [shift_mlp(graph, x, 128, how)])
    graph = MovingGraph(0, 4, 4)
    x, threshold = graph.floats(32), graph.file.tensor((1, 1, 1, 32))
    words = graph.quantize(graph.binary("ADD", x, threshold, 32), 32)
    words = graph.pad(words, [(0, 0), (1, 0), (0, 1), (0, 0)])
    graph.size = (1, 3, 3)
    y = graph.convolve(words, 32, 32, strides=2)
    y = graph.strided_slice(y, [0, 1, 1, 0], [1, 3, 3, 32], [1] * 4)
    y = graph.on(y).binary("ADD", y, graph.average(x), 32)
    yield graph.file.build([x, threshold], [y])
    graph = EmbeddingGraph(0, 3, 4)
    x, y = embedded_network(graph, 20, 5)
    yield graph.file.build([x], [y])


def embeddings():
    """Yields the operators of contextual embeddings as they are served, and as they are not."""
    for seed in range(12):
        graph = EmbeddingGraph(seed, 3, 2)
        graph.size = (1 + seed % 3, 3, 2)
        x, results = any_embedding(graph, (20, 33, 64)[seed // 4])
        yield graph.file.build([x], results)
    # As much work as several threads share, of weights that are few.
    graph = EmbeddingGraph(0, 1, 1)
    x = graph.file.tensor((16, 32))
    y = graph.connect(x, 80)
    yield graph.file.build([x], [graph.signs(y)])
    for spoil in (
        one_input, weights_format, wide_weights, fewer_sizes, other_sizes, flat_image,
        fused_difference,
    ):  # fmt: skip
        graph = EmbeddingGraph(0, 2, 2)
        x, results = any_embedding(graph, 8)
        spoil(graph)
        yield graph.file.build([x], results)
    # What the file says of an activation, and what its operator computes, may differ.
    for reader in ("mean", "connect", "reshape", "subtract"):
        graph = EmbeddingGraph(0, 2, 2)
        yield stale_shape(graph, reader)


def stems():
    """Yields convolutions of images and zeros around them, served and not."""
    for seed, spoil in enumerate(
        (None, negative_margins, fewer_margins, wide_filter, no_bias, other_strides)
    ):
        graph = StemGraph(seed, 4 + seed, 5)
        graph.size = (1 + seed % 2, 4 + seed, 5)
        x, results = padded_stem(graph, 20)
        if spoil is not None:
            spoil(graph)
        yield graph.file.build([x], results)


def filled():
    """Yields convolutions whose constants are FILLs, one of them of two convolutions."""
    c = Convolution(height=3, width=4, channels_in=40, channels_out=20)
    yield convolution_file(c, random_data(c), quantize=True, fills=True)
    graph = Graph(0, 3, 4)
    x = graph.floats(32)
    words = graph.quantize(x, 32)
    results = [graph.convolve(words, 32, 32) for _ in range(2)]
    shared = graph.file.filled((32, 3, 3, 1), np.int32(7))
    for operator in graph.file.operators[1:3]:
        operator.inputs[1] = shared
    yield graph.file.build([x], results)


def of_kind(graph: EmbeddingGraph, code: int):
    return next(
        operator
        for operator in graph.file.operators
        if graph.file.codes[operator.opcodeIndex].builtinCode == code
    )


def one_input(graph: EmbeddingGraph) -> None:
    for code in (BuiltinOperator.MEAN, BuiltinOperator.SUB):
        operator = of_kind(graph, code)
        operator.inputs = operator.inputs[:1]


def weights_format(graph: EmbeddingGraph) -> None:
    of_kind(graph, BuiltinOperator.FULLY_CONNECTED).builtinOptions.weightsFormat = 1


def wide_weights(graph: EmbeddingGraph) -> None:
    weights = of_kind(graph, BuiltinOperator.FULLY_CONNECTED).inputs[1]
    graph.file.tensors[weights].shape[1] += 1


def fewer_sizes(graph: EmbeddingGraph) -> None:
    shape = of_kind(graph, BuiltinOperator.RESHAPE).inputs[1]
    graph.file.tensors[shape].shape[0] -= 1


def fused_difference(graph: EmbeddingGraph) -> None:
    of_kind(graph, BuiltinOperator.SUB).builtinOptions.fusedActivationFunction = 1


def other_sizes(graph: EmbeddingGraph) -> None:
    shape = graph.file.tensors[of_kind(graph, BuiltinOperator.RESHAPE).inputs[1]]
    graph.file.buffers[shape.buffer] = np.array([2, 1, 1, 8], np.int32).tobytes()


def flat_image(graph: EmbeddingGraph) -> None:
    image = graph.file.tensors[of_kind(graph, BuiltinOperator.MEAN).inputs[0]]
    image.shape = image.shape[1:]


def negative_margins(graph: StemGraph) -> None:
    margins = graph.file.tensors[of_kind(graph, BuiltinOperator.PAD).inputs[1]]
    graph.file.buffers[margins.buffer] = np.full(8, -1, np.int32).tobytes()


def fewer_margins(graph: StemGraph) -> None:
    margins = graph.file.tensors[of_kind(graph, BuiltinOperator.PAD).inputs[1]]
    margins.shape[0] -= 1


def wide_filter(graph: StemGraph) -> None:
    filters = graph.file.tensors[of_kind(graph, BuiltinOperator.CONV_2D).inputs[1]]
    filters.shape[3] += 1


def no_bias(graph: StemGraph) -> None:
    operator = of_kind(graph, BuiltinOperator.CONV_2D)
    operator.inputs = operator.inputs[:2]


def other_strides(graph: StemGraph) -> None:
    of_kind(graph, BuiltinOperator.CONV_2D).builtinOptions.strideH = 0


def stale_shape(graph: EmbeddingGraph, reader: str) -> bytes:
    """The file says other shapes than its operators compute, an image where a vector is."""
    x = graph.floats(8)
    y = graph.convolve(graph.quantize(x, 8), 8, 8)
    graph.file.tensors[y].shape = np.array([1, 1, 1, 4], np.int32)
    if reader == "mean":
        y = graph.connect(graph.mean(x), 8)
        graph.file.tensors[y].shape = np.array([1, 1, 1, 8], np.int32)
        y = graph.mean(y)
    elif reader == "connect":
        y = graph.connect(y, 8)
    elif reader == "reshape":
        y = graph.reshape(y, (1, 4))
    else:
        y = graph.subtract_from(graph.constant(4), y)
    return graph.file.build([x], [graph.signs(y)])


def shared():
    """Yields the graphs of networks whose every operator several threads share."""
    graph = EmbeddingGraph(0, 14, 14)
    x, y = embedded_network(graph, 128, 300)
    yield graph.file.build([x], [y])
    graph = MovingGraph(0, 14, 14)
    x = graph.floats(128)
    y = react_block(graph, shift_mlp(graph, x, 128, "slices"), 128, doubles=True)
    yield graph.file.build([x], [y])


def seeds():
    """Yields small files: what makes the fuzzer fast is in the reach of its mutations."""
    yield from blocks()
    yield from embeddings()
    yield from stems()
    yield from filled()
    small = Convolution(height=3, width=4, channels_in=40, channels_out=20)
    for output in (np.float32, np.int8, np.int32):
        for change in ({}, {"pad_values": 1}, {"strides": (2, 1), "dilations": (1, 2)},
                       {"groups": 2, "channels_in": 64}):  # fmt: skip
            c = replace(small, output=output, padding=SAME, **change)
            yield convolution_file(c, random_data(c), quantize=True)


def main(directory: Path, files) -> None:
    """Writes files."""
    directory.mkdir(parents=True, exist_ok=True)
    for index, file in enumerate(files):
        (directory / f"{index}.tflite").write_bytes(file)
    print(f"{index + 1} files in {directory}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), {"seeds": seeds, "shared": shared}[sys.argv[2]]())
