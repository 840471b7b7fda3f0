"""Signs first, movement second: shifts, cuts and paddings on bit-packed words.

A sign commutes with everything that only moves values. Where the converter packs the signs of
a moved tensor, the tensor is signed once and its words are moved: 32 times fewer bytes, and
one sign where there were several. Bit-exact.
"""

import math

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.tflite.editor import Editor, Node

_WORD = 32
QUANTIZE = "LceQuantize"


def _split(editor: Editor, node: Node, moved: np.ndarray, output: int) -> np.ndarray:
    axis = int(editor.values(node.inputs[0]).item())
    return np.split(moved, len(node.outputs), axis)[node.outputs.index(output)]


def _slice(editor: Editor, node: Node, moved: np.ndarray) -> np.ndarray:
    begins, sizes = (editor.values(i).tolist() for i in node.inputs[1:3])
    return moved[
        tuple(
            slice(begin, None if size < 0 else begin + size)
            for begin, size in zip(begins, sizes, strict=True)
        )
    ]


def _strided_slice(editor: Editor, node: Node, moved: np.ndarray) -> np.ndarray | None:
    o = node.options
    if o.ellipsisMask or o.newAxisMask or o.shrinkAxisMask or getattr(o, "offset", False):
        return None
    begins, ends, strides = (editor.values(i).tolist() for i in node.inputs[1:4])
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


# Position of the data among the inputs of what may move it; all others must be constants.
_DATA = {
    "SPLIT": 1,
    "SLICE": 0,
    "STRIDED_SLICE": 0,
    "RESHAPE": 0,
    "TRANSPOSE": 0,
}


def _sources(editor: Editor, node: Node) -> list[int] | None:
    """The tensors that an operator moves, or None if it does more than that."""
    if node.type == "CONCATENATION":
        return None if node.options.fusedActivationFunction else node.inputs
    if node.type not in _DATA:
        return None
    position = _DATA[node.type]
    others = [i for p, i in enumerate(node.inputs) if p != position]
    if any(editor.constant(i) is None for i in others):
        return None
    return [node.inputs[position]]


def _move(editor: Editor, node: Node, parts: list[np.ndarray], output: int):
    shape = editor.shape(output)
    match node.type:
        case "CONCATENATION":
            return np.concatenate(parts, node.options.axis)
        case "SPLIT":
            return _split(editor, node, parts[0], output)
        case "SLICE":
            return _slice(editor, node, parts[0])
        case "STRIDED_SLICE":
            return _strided_slice(editor, node, parts[0])
        case "TRANSPOSE":
            return parts[0].transpose(editor.values(node.inputs[1]))
    return parts[0].reshape(shape)


def _origin(editor: Editor, tensor: int) -> tuple[int, np.ndarray] | None:
    """The one tensor whose values a tensor holds, and where in it each value stands.

    Found by running the moving operators on the positions themselves.
    """
    root: int | None = None
    known: dict[int, np.ndarray] = {}

    def positions(current: int) -> np.ndarray | None:
        nonlocal root
        if current in known:
            return known[current]
        node = editor.producer(current)
        sources = None if node is None else _sources(editor, node)
        if node is None or sources is None:
            if root not in (None, current):
                return None
            root = current
            shape = editor.shape(current)
            known[current] = np.arange(math.prod(shape)).reshape(shape)
            return known[current]
        parts = [positions(source) for source in sources]
        if any(part is None for part in parts):
            return None
        moved = _move(editor, node, [p for p in parts if p is not None], current)
        if moved is None or moved.shape != editor.shape(current):
            return None
        known[current] = moved
        return moved

    found = positions(tensor)
    return None if found is None or root is None else (root, found)


def _words(positions: np.ndarray, channels: int) -> np.ndarray | None:
    """The words that hold 32 values each, if whole words move and bits keep their place."""
    if channels % _WORD or positions.shape[-1] % _WORD:
        return None
    lanes = positions.reshape(*positions.shape[:-1], -1, _WORD)
    first = lanes[..., 0]
    whole = np.array_equal(lanes, first[..., None] + np.arange(_WORD))
    return (first // _WORD).astype(np.int32) if whole and np.all(first % _WORD == 0) else None


def move_packed_words(editor: Editor) -> tuple[int, list[str]]:
    """Replaces the sign of a moved tensor by a gather of words of the tensor's signs.

    The precondition: the input of an LceQuantize holds values of one tensor, moved by splits,
    slices, concatenations, reshapes and transpositions; groups of 32 channels move as a
    whole, from multiples of 32 to multiples of 32. The four rolls of a shift become one GATHER
    with constant positions, `words.flat[positions]`.

    Returns:
        How many signs it has moved, and what moves on as floats, in words.
    """
    moved, left = 0, []
    signs: dict[int, int] = {}
    flat: dict[int, int] = {}
    quantizers = [node for node in editor.nodes if node.type == QUANTIZE]
    for node in quantizers:
        signs.setdefault(node.inputs[0], node.output)
    for node in quantizers:
        producer = editor.producer(node.inputs[0])
        origin = None
        if producer is not None and _sources(editor, producer) is not None:
            origin = _origin(editor, node.inputs[0])
        if origin is None:
            continue
        root, positions = origin
        words = _words(positions, editor.shape(root)[-1])
        if words is None or editor.dtype(root) != np.float32:
            left.append(
                f"{editor.name(node.output)}: its {positions.shape[-1]} channels move in "
                "groups that are no multiples of 32, so that they are moved as floats"
            )
            continue
        if root not in signs:
            signs[root] = _add_sign(editor, root)
        packed = signs[root]
        if packed not in flat:
            flat[packed] = _add_flat(editor, packed)
        indices = editor.add_constant(words, f"{editor.name(node.output)}/positions")
        options = schema.GatherOptionsT()
        options.axis = 0
        editor.add_node("GATHER", [flat[packed], indices], [node.output], options)
        editor.remove(node)
        moved += 1
    return moved, left


def _add_sign(editor: Editor, tensor: int) -> int:
    *outer, channels = editor.shape(tensor)
    name = f"{editor.name(tensor)}/signs"
    packed = editor.add_tensor([*outer, -(-channels // _WORD)], np.int32, name)
    pattern = next(node for node in editor.nodes if node.type == QUANTIZE)
    editor.copy_node(pattern, [tensor], [packed])
    return packed


def _add_flat(editor: Editor, tensor: int) -> int:
    size = math.prod(editor.shape(tensor))
    name = f"{editor.name(tensor)}/flat"
    flat = editor.add_tensor([size], np.int32, name)
    shape = editor.add_constant(np.array([size], np.int32), f"{name}/shape")
    options = schema.ReshapeOptionsT()
    options.newShape = [size]
    editor.add_node("RESHAPE", [tensor, shape], [flat], options)
    return flat


def pad_packed_words(editor: Editor) -> tuple[int, list[str]]:
    """Pads the packed signs of an image with +1 in place of the image with zeros.

    sign(0) is +1, whose bit is 0, and so are the unused bits of a word.

    The precondition: a PAD of zeros, or a PADV2 of a constant that is not negative, that
    leaves the channels alone and is read by the LceQuantize.
    """
    moved = 0
    for node in [node for node in editor.nodes if node.type == QUANTIZE]:
        pad = editor.producer(node.inputs[0])
        if pad is None or pad.type not in ("PAD", "PADV2"):
            continue
        margins = editor.constant(pad.inputs[1])
        value = editor.constant(pad.inputs[2]) if pad.type == "PADV2" else np.zeros(1)
        image = pad.inputs[0]
        real = editor.dtype(image) == np.float32
        if (
            not real
            or margins is None
            or margins[-1].any()
            or value is None
            or value.item() < 0
        ):
            continue
        signs = next(
            (n.output for n, _ in editor.uses(image) if n.type == QUANTIZE),
            None,
        )
        if signs is None:
            signs = _add_sign(editor, image)
        editor.add_node("PAD", [signs, pad.inputs[1]], [node.output], schema.PadOptionsT())
        editor.remove(node)
        moved += 1
    return moved, []
