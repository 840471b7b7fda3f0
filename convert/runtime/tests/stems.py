"""Graphs that begin with a convolution of floats over an image of few channels."""

import numpy as np
from equations import NONE, SAME, axis_layout
from flatfile import schema
from moving import MovingGraph


class StemGraph(MovingGraph):
    """A graph that also convolves floats, of filters O, H, W, C."""

    def convolve_image(
        self, a: int, filters, bias=None, strides=(1, 1), padding=SAME, activation=NONE,
        dilation=1,
    ) -> int:  # fmt: skip
        options = schema.Conv2DOptionsT()
        options.strideH, options.strideW = strides
        options.padding, options.fusedActivationFunction = padding, activation
        options.dilationHFactor = options.dilationWFactor = dilation
        samples, *size, _ = self.shape(a)
        out = [
            axis_layout(in_size, window, stride, dilation, padding)[0]
            for in_size, window, stride in zip(size, filters.shape[1:3], strides)
        ]
        result = self.file.tensor((samples, *out, len(filters)))
        inputs = [a, self.file.constant(filters)]
        if bias is not None:
            inputs.append(self.file.constant(bias))
        kind = schema.BuiltinOptions.Conv2DOptions
        self.file.builtin("CONV_2D", inputs, [result], kind, options)
        return result

    def random_filters(self, channels_out: int, window, channels_in: int) -> np.ndarray:
        return self.rng.normal(size=(channels_out, *window, channels_in)).astype(np.float32)


def padded_stem(graph: StemGraph, channels: int = 40):
    """An image with zeros around it, as PyTorch pads it, a convolution of it, and its signs."""
    x = graph.floats(3)
    y = graph.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    filters = graph.random_filters(channels, (3, 3), 3)
    bias = graph.rng.normal(size=channels).astype(np.float32)
    y = graph.convolve_image(y, filters, bias, (2, 2), padding=1)
    return x, [y, graph.signs(y)]
