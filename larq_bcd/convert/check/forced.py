"""The Keras graph, forced onto the signs of the file."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import tensorflow as tf

from larq_bcd.convert.graph import InferenceGraph


class ForcedGraph:
    """The inference graph of a model, which takes what its signs give from outside.

    Attributes:
        parameters: values of the kernels, and of the graph's other parameters, of
            `InferenceGraph.parameters`.
    """

    def __init__(
        self,
        graph: InferenceGraph,
        signs: Sequence[tf.Tensor],
        watched: Sequence[tf.Tensor],
        kernels: Sequence[tf.Tensor] = (),
    ):
        names = {kernel.name for kernel in kernels}
        self._graph = graph
        self._tensors = parameters = [
            *kernels,
            *(p for p in graph.parameters if p.name not in names),
        ]
        self._free = graph.function(graph.inputs, graph.outputs)
        self._forced = graph.function([*graph.inputs, *signs, *parameters], watched)
        self.parameters: list[np.ndarray] = [
            value.numpy() for value in graph.function([], parameters)()
        ]

    @cached_property
    def _rounded(self):
        """Made when it is needed: most checks end without."""
        return self._graph.function([*self._graph.inputs, *self._tensors], self._graph.outputs)

    def outputs(self, x: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of the model on its own, for a batch of one."""
        return [value.numpy() for value in self._free(*x)]

    def rounded_outputs(
        self, x: Sequence[np.ndarray], parameters: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """The outputs of the model on its own, with other values of its parameters."""
        return [value.numpy() for value in self._rounded(*x, *parameters)]

    def run(
        self,
        x: Sequence[np.ndarray],
        signs: Sequence[np.ndarray],
        parameters: Sequence[np.ndarray] | None = None,
    ) -> list[np.ndarray]:
        """The watched tensors, for a batch of one."""
        given = self.parameters if parameters is None else parameters
        return [value.numpy() for value in self._forced(*x, *signs, *given)]
