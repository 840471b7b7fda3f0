"""Signs first, movement second: shifts, cuts and paddings on bit-packed words.

A sign commutes with everything that only moves values. Where the converter packs the signs of
a moved tensor, the tensor is signed once and its words are moved: 32 times fewer bytes, and
one sign where there were several. Bit-exact.
"""

import math

import numpy as np

from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import QUANTIZE
from larq_bcd.tflite.signs import WORD, words

# Position of the data among the inputs of what may move it; all others must be constants.
_DATA = {
    "SPLIT": 1,
    "SLICE": 0,
    "STRIDED_SLICE": 0,
    "RESHAPE": 0,
    "TRANSPOSE": 0,
}


def _sources(node: Node | None) -> list[Value] | None:
    """The tensors that an operator moves, or None if it does more than that."""
    if node is None:
        return None
    if node.type == "CONCATENATION":
        return None if node.is_activated else node.operands
    if node.type not in _DATA:
        return None
    data = node.operands[_DATA[node.type]]
    others = [value for value in node.operands if value is not data]
    return None if any(value.constant is None for value in others) else [data]


def _slice(node: Node, moved: np.ndarray) -> np.ndarray:
    begins, sizes = (value.values.tolist() for value in node.operands[1:3])
    return moved[
        tuple(
            slice(begin, None if size < 0 else begin + size)
            for begin, size in zip(begins, sizes, strict=True)
        )
    ]


def _strided_slice(node: Node, moved: np.ndarray) -> np.ndarray | None:
    o = node.options
    if o.ellipsisMask or o.newAxisMask or o.shrinkAxisMask or getattr(o, "offset", False):
        return None
    begins, ends, strides = (value.values.tolist() for value in node.operands[1:4])
    return moved[
        tuple(
            slice(
                None if o.beginMask >> axis & 1 else begin,
                None if o.endMask >> axis & 1 else end,
                stride,
            )
            for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True))
        )
    ]


def _move(node: Node, parts: list[np.ndarray], output: Value) -> np.ndarray | None:
    """What an operator makes of arrays in place of the tensors that it moves."""
    match node.type:
        case "CONCATENATION":
            return np.concatenate(parts, node.options.axis)
        case "SPLIT":
            axis = int(node.data.values.item())
            return np.split(parts[0], len(node.outputs), axis)[node.outputs.index(output)]
        case "SLICE":
            return _slice(node, parts[0])
        case "STRIDED_SLICE":
            return _strided_slice(node, parts[0])
        case "TRANSPOSE":
            return parts[0].transpose(node.operands[1].values)
    return parts[0].reshape(output.shape)


def _origin(value: Value) -> tuple[Value, np.ndarray] | None:
    """The one tensor whose values a tensor holds, and where in it each value stands.

    Found by running the moving operators on the positions themselves.
    """
    known: dict[Value, np.ndarray] = {}
    roots: set[Value] = set()

    def positions(current: Value) -> np.ndarray | None:
        if current in known:
            return known[current]
        node = current.producer
        sources = _sources(node)
        if node is None or sources is None:
            roots.add(current)
            moved = np.arange(math.prod(current.shape)).reshape(current.shape)
        else:
            parts = [part for source in sources if (part := positions(source)) is not None]
            if len(roots) > 1 or len(parts) < len(sources):
                return None
            found = _move(node, parts, current)
            if found is None or found.shape != current.shape:
                return None
            moved = found
        return known.setdefault(current, moved)

    found = positions(value)
    return None if found is None else (roots.pop(), found)


def _words(positions: np.ndarray, channels: int) -> np.ndarray | None:
    """The words that hold 32 values each, if whole words move and bits keep their place."""
    if channels % WORD or positions.shape[-1] % WORD:
        return None
    lanes = positions.reshape(*positions.shape[:-1], -1, WORD)
    first = lanes[..., 0]
    whole = np.array_equal(lanes, first[..., None] + np.arange(WORD))
    return (first // WORD).astype(np.int32) if whole and np.all(first % WORD == 0) else None


def move_packed_words(graph: Graph) -> Rewrite:
    """Replaces the sign of a moved tensor by a gather of words of the tensor's signs.

    The precondition: the input of an LceQuantize holds values of one tensor, moved by splits,
    slices, concatenations, reshapes and transpositions; groups of 32 channels move as a
    whole, from multiples of 32 to multiples of 32. The four rolls of a shift become one GATHER
    with constant positions, `words.flat[positions]`.
    """
    done = Rewrite()
    flat: dict[Value, Value] = {}
    for node in graph.nodes_of(QUANTIZE):
        producer = node.data.producer
        origin = None if _sources(producer) is None else _origin(node.data)
        if origin is None:
            continue
        root, positions = origin
        moved = _words(positions, root.channels)
        if moved is None or root.dtype != np.float32:
            done.skipped.append(
                f"{node.output.name}: its {positions.shape[-1]} channels move in groups that "
                "are not multiples of 32, so that they are moved as floats"
            )
            continue
        packed = _signs(graph, root, node)
        if packed not in flat:
            flat[packed] = _flat(graph, packed)
        indices = Value.of(moved, f"{node.output.name}/positions")
        graph.add_node("GATHER", [flat[packed], indices], node.outputs, axis=0)
        graph.remove(node)
        done.changed.append(node.output.name)
    return done


def _signs(graph: Graph, value: Value, pattern: Node) -> Value:
    """The packed signs of a tensor, which some operator may compute already."""
    for reader, _ in value.uses:
        if reader.type == QUANTIZE:
            return reader.output
    shape = [*value.shape[:-1], words(value.channels)]
    packed = Value.new(shape, np.int32, f"{value.name}/signs")
    graph.copy_node(pattern, [value], [packed])
    return packed


def _flat(graph: Graph, value: Value) -> Value:
    size = math.prod(value.shape)
    flat = Value.new([size], np.int32, f"{value.name}/flat")
    shape = Value.of(np.array([size], np.int32), f"{flat.name}/shape")
    graph.add_node("RESHAPE", [value, shape], [flat], newShape=[size])
    return flat


def pad_packed_words(graph: Graph) -> Rewrite:
    """Pads the packed signs of an image with +1 in place of the image with zeros.

    sign(0) is +1, whose bit is 0, and so are the unused bits of a word.

    The precondition: a PAD of zeros, or a PADV2 of a constant that is not negative, that
    leaves the channels alone and is read by the LceQuantize.
    """
    done = Rewrite()
    for node in graph.nodes_of(QUANTIZE):
        pad = node.data.producer
        if pad is None or pad.type not in ("PAD", "PADV2") or pad.data.dtype != np.float32:
            continue
        margins = pad.constant(1)
        value = pad.constant(2) if pad.type == "PADV2" else np.zeros(1)
        if margins is None or margins[-1].any() or value is None or value.item() < 0:
            continue
        signs = _signs(graph, pad.data, node)
        graph.add_node("PAD", [signs, pad.inputs[1]], node.outputs)
        graph.remove(node)
        done.changed.append(node.output.name)
    return done
