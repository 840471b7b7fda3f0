"""Graphs with the operators of a contextual embedding: one vector for each sample."""

import numpy as np
from equations import NONE
from flatfile import schema
from test_fusion import Graph


class EmbeddingGraph(Graph):
    """A graph that also takes means, and computes with vectors."""

    def shape(self, a: int) -> list[int]:
        return [int(size) for size in self.file.tensors[a].shape]

    def mean(self, a: int, keep_dims: bool = False, axes=(1, 2)) -> int:
        samples, *_, channels = self.shape(a)
        result = self.file.tensor(
            (samples, 1, 1, channels) if keep_dims else (samples, channels)
        )
        options = schema.ReducerOptionsT()
        options.keepDims = keep_dims
        inputs = [a, self.file.constant(np.array(axes, np.int32))]
        self.file.builtin(
            "MEAN", inputs, [result], schema.BuiltinOptions.ReducerOptions, options
        )
        return result

    def fully_connected(self, a, weights, bias=None, activation=NONE, keep_dims=False) -> int:
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction, options.keepNumDims = activation, keep_dims
        shape = self.shape(a)[:-1] if keep_dims else self.shape(a)[:1]
        result = self.file.tensor((*shape, len(weights)))
        last = -1 if bias is None else self.file.constant(bias)
        kind = schema.BuiltinOptions.FullyConnectedOptions
        inputs = [a, self.file.constant(weights), last]
        self.file.builtin("FULLY_CONNECTED", inputs, [result], kind, options)
        return result

    def connect(self, a: int, outputs: int, has_bias: bool = True) -> int:
        """A fully connected layer of random weights."""
        weights = self.rng.normal(size=(outputs, self.shape(a)[-1])).astype(np.float32)
        bias = self.rng.normal(size=outputs).astype(np.float32) if has_bias else None
        return self.fully_connected(a, weights, bias)

    def reshape(self, a: int, shape) -> int:
        result = self.file.tensor([1 if size == -1 else size for size in shape])
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        inputs = [a, self.file.constant(np.array(shape, np.int32))]
        kind = schema.BuiltinOptions.ReshapeOptions
        self.file.builtin("RESHAPE", inputs, [result], kind, options)
        return result

    def subtract_from(self, constant: int, a: int) -> int:
        result = self.file.tensor(self.shape(a))
        kind = schema.BuiltinOptions.SubOptions
        self.file.builtin("SUB", [constant, a], [result], kind, schema.SubOptionsT())
        return result

    def signs(self, a: int) -> int:
        """Quantizes a tensor of any shape."""
        *rest, channels = self.shape(a)
        result = self.file.tensor((*rest, -(-channels // 32)), np.int32)
        self.file.custom("LceQuantize", [a], [result])
        return result


def embedded_convolution(graph: EmbeddingGraph, x: int, channels: int, outputs: int) -> int:
    """A binary convolution whose threshold and offset follow the image, as in a BCDNet-B."""
    hidden = graph.connect(graph.mean(x), channels // 4, has_bias=False)
    moved = graph.reshape(graph.connect(hidden, channels), (1, 1, 1, channels))
    threshold = graph.subtract_from(graph.constant(channels), moved)
    offset = graph.connect(hidden, outputs)
    words = graph.quantize(graph.binary("ADD", x, threshold, channels), channels)
    y = graph.convolve(words, channels, outputs)
    return graph.prelu(graph.binary("ADD", y, offset, outputs), outputs)


def embedded_network(graph: EmbeddingGraph, channels: int, classes: int) -> tuple[int, int]:
    """Two such convolutions between a float operator and a classifier: input and logits."""
    entry = graph.floats(channels)
    x = graph.abs(entry, channels)
    x = graph.binary("ADD", embedded_convolution(graph, x, channels, channels), x, channels)
    x = embedded_convolution(graph, x, channels, 2 * channels)
    return entry, graph.connect(graph.mean(x), classes)
