"""Graphs with the operators of a contextual embedding: one vector for each sample."""

import numpy as np
from equations import CLAMPS, NONE
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
        result = self.file.tensor(np.empty(self.shape(a)).reshape(shape).shape)
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        inputs = [a, self.file.constant(np.array(shape, np.int32))]
        kind = schema.BuiltinOptions.ReshapeOptions
        self.file.builtin("RESHAPE", inputs, [result], kind, options)
        return result

    def split(self, a: int, parts: int, axis) -> list[int]:
        *rest, channels = self.shape(a)
        results = [self.file.tensor((*rest, channels // parts)) for _ in range(parts)]
        options = schema.SplitOptionsT()
        options.numSplits = parts
        inputs = [self.file.constant(np.array(axis, np.int32)), a]
        self.file.builtin("SPLIT", inputs, results, schema.BuiltinOptions.SplitOptions, options)
        return results

    def subtract_from(self, constant: int, a: int) -> int:
        result = self.file.tensor(self.shape(a))
        kind = schema.BuiltinOptions.SubOptions
        self.file.builtin("SUB", [constant, a], [result], kind, schema.SubOptionsT())
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


def any_embedding(graph: EmbeddingGraph, channels: int) -> tuple[int, list[int]]:
    """One embedding in any of the ways that are served: the image, and what comes of it."""
    rng, samples = graph.rng, graph.size[0]
    x = graph.floats(channels)
    axes = [(1, 2), (2, 1), (-3, -2), (1, -2)][rng.integers(4)]
    pooled = graph.mean(x, keep_dims=bool(rng.integers(2)), axes=axes)
    hidden = int(rng.choice([1, 5, 16, 40]))
    for outputs in (hidden, channels):
        weights = rng.normal(size=(outputs, graph.shape(pooled)[-1])).astype(np.float32)
        bias = rng.normal(size=outputs).astype(np.float32) if rng.integers(2) else None
        pooled = graph.fully_connected(
            pooled, weights, bias, int(rng.choice(list(CLAMPS))), bool(rng.integers(2))
        )
    shapes = [(samples, 1, 1, channels), (-1, 1, 1, channels), (samples, 1, 1, -1)]
    moved = graph.reshape(pooled, shapes[rng.integers(3)])
    threshold = graph.subtract_from(graph.constant(channels), moved)
    words = graph.quantize(graph.binary("ADD", x, threshold, channels), channels)
    y = graph.convolve(words, channels, hidden, window=1)
    return x, [y, graph.signs(pooled)] if rng.integers(2) else [y]


def statistics_network(graph: EmbeddingGraph, channels: int) -> tuple[int, int]:
    """Signs and PRELUs whose thresholds follow channel statistics, as in a DyBCNN."""
    entry = graph.floats(channels)
    x = graph.abs(entry, channels)
    for _ in range(2):
        threshold = graph.connect(graph.connect(graph.mean(x), 8), channels)
        signs = graph.quantize(graph.binary("SUB", x, threshold, channels), channels)
        y = graph.binary("ADD", graph.convolve(signs, channels, channels), x, channels)
        shifts = graph.connect(graph.mean(y), 2 * channels)
        shifts = graph.reshape(shifts, (1, 1, 1, 2 * channels))
        before, after = graph.split(shifts, 2, axis=3)
        y = graph.prelu(graph.binary("ADD", y, before, channels), channels)
        x = graph.binary("ADD", y, after, channels)
    return entry, x
