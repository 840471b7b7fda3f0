"""States of recurrent layers that the converter takes for one."""

from larq_bcd.tflite.graph import Graph, Rewrite, Value


def separate_states(graph: Graph) -> Rewrite:
    """Gives each recurrent operator a state of its own to write to.

    A state starts as zeros, and the converter stores equal constants once: an LSTM's hidden
    state and its cell state become one tensor, and so do those of two layers of equal size.
    Each then overwrites the other at every step of a sequence.

    Returns:
        The types of the operators whose states are mended.
    """
    done = Rewrite()
    taken: set[Value] = set()
    for node in graph.nodes:
        shared = []
        for position, value in enumerate(node.inputs):
            if value is not None and value.is_variable:
                if value in taken:
                    shared.append((position, value))
                taken.add(value)
        for position, value in shared:
            name = f"{node.outputs[0].name}/state_{position}"
            node.set_input(position, value.copied(name))
        if shared:
            done.changed.append(node.type)
    return done
