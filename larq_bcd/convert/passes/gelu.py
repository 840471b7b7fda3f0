"""The exact GELU, which the converter of Larq Compute Engine takes to pieces."""

import numpy as np

from larq_bcd.convert.passes.flow import variable_and_constant
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value

_WITHIN = 1e-6  # relative, of the constants in float32


def restore_gelus(graph: Graph) -> Rewrite:
    r"""Puts the operator GELU in place of what computes it as

    \\[ \mathrm{GELU}(x) = \frac{x}{2} \, \mathrm{erfc}\left(\frac{-x}{\sqrt 2}\right) \\]

    The interpreter of Larq Compute Engine has no complementary error function. The results
    are equal to rounding.
    """
    done = Rewrite()
    for erfc in graph.nodes_of("Erfc"):
        for product, _ in list(erfc.output.uses):
            given = _argument(product, erfc)
            if given is None:
                continue
            result = Value.new(given.shape, given.dtype, f"{product.output.name}/gelu")
            graph.add_node("GELU", [given], [result], approximate=False)
            graph.replace(product.output, result)
            graph.remove(product)
            done.changed.append(product.output.name)
            if not erfc.output.uses and erfc.output not in graph.outputs:
                graph.remove(erfc)
    return done


def _argument(product: Node, erfc: Node) -> Value | None:
    """The x of a GELU that a product makes with a complementary error function."""
    if product.type != "MUL" or product.is_activated:
        return None
    halves = [value for value in product.operands if value is not erfc.output]
    scaled = _times(erfc.data.producer, np.sqrt(0.5))
    negated = None if scaled is None else scaled.producer
    if len(halves) != 1 or negated is None or negated.type != "NEG":
        return None
    found = _times(halves[0].producer, 0.5)
    return found if found is negated.data else None


def _times(node: Node | None, factor: float) -> Value | None:
    """What an operator multiplies by a factor, if it does."""
    positions = None if node is None or node.type != "MUL" else variable_and_constant(node)
    if node is None or positions is None or node.is_activated:
        return None
    variable, constant = (node.operands[position] for position in positions)
    return variable if np.allclose(constant.values, factor, _WITHIN, 0) else None
