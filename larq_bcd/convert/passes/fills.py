"""Constants that the converter leaves to the interpreter."""

import numpy as np

from larq_bcd.tflite.graph import Graph, Rewrite, Value


def write_out_fills(graph: Graph) -> Rewrite:
    """Puts large constants of one value into the file.

    TensorFlow's converter replaces such a constant by a FILL, which every inference repeats.
    They are the kernels of a network that has not been trained: without them neither its size
    nor its latency would be those of the trained one, and no layer is known by its weights.
    """
    done = Rewrite()
    for node in graph.nodes_of("FILL"):
        shape, value = node.constant(0), node.constant(1)
        if shape is None or value is None:
            done.skipped.append(f"{node.output.name}: its shape or value is computed")
            continue
        filled = np.full(shape, value)
        graph.replace(node.output, Value.of(filled, node.output.name, node.output.quantization))
        graph.remove(node)
        done.changed.append(node.output.name)
    return done
