"""Writes small valid files for the fuzzer to begin with: every operator, in every role."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from embedding import EmbeddingGraph, embedded_network
from equations import SAME, Convolution, random_data
from files import convolution_file
from moving import MovingGraph
from test_fusion import Graph, react_block
from test_moves import shift_mlp


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


def main(directory: Path) -> None:
    """Writes everything."""
    directory.mkdir(parents=True, exist_ok=True)
    files = list(blocks())
    small = Convolution(height=3, width=4, channels_in=40, channels_out=20)
    for output in (np.float32, np.int8, np.int32):
        for change in ({}, {"pad_values": 1}, {"strides": (2, 1), "dilations": (1, 2)},
                       {"groups": 2, "channels_in": 64}):  # fmt: skip
            c = replace(small, output=output, padding=SAME, **change)
            files.append(convolution_file(c, random_data(c), quantize=True))
    for index, file in enumerate(files):
        (directory / f"{index}.tflite").write_bytes(file)
    print(f"{len(files)} files to begin with")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
