"""What a .tflite file says, checked before LiteRT, which trusts it, sees it.

LiteRT verifies neither that its offsets stay inside the file nor that its operators read what
others have written; some of its kernels crash then. `rules` has the rules that each of
its operators has of its own; those of LCE's operators are checked by the delegate.
"""

import io
import json
import math
import struct
import zipfile
from dataclasses import dataclass, replace
from typing import Optional

from larq_bcd_runtime.flatbuffer import Damaged, Table
from larq_bcd_runtime.rules import RULES, Tensor, check_operator
from larq_bcd_runtime.samples import keeps_samples

# The schema's numbers of operators.
_CUSTOM, _DENSIFY = 32, 124
# Those that do without some of their inputs: convolutions, also of three dimensions or
# transposed, fully connected and recurrent layers. LiteRT's others crash without one.
_OPTIONAL_INPUTS = {3, 4, 9, 16, 27, 35, 44, 46, 52, 67, 132, 141, _CUSTOM}
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64,
         15: 32, 16: 16, 17: 4, 18: 16}  # fmt: skip


# Tensors with what they are called, of which one may have several names.
Names = tuple[tuple[int, str], ...]
RESAMPLINGS = ("bilinear", "bicubic")
LARGEST_RESIZE = 16_384


@dataclass(frozen=True)
class Preprocessing:
    """How a file wants its images: brought to its size, then (pixel - mean) / std.

    Attributes:
        mean: one value per channel, or one for all; pixels are 0 to 255.
        std: likewise.
        resize: the shorter side of an image in pixels before the center is cut out; None
            resizes the whole image, as the standard's own libraries do.
        resampling: how it is resized, "bilinear" or "bicubic", antialiased.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Optional[int] = None
    resampling: str = "bilinear"


@dataclass(frozen=True)
class ModelFile:
    """What is needed of a file beside what LiteRT tells.

    Attributes:
        preprocessing: None if the file does not say.
        takes_pixels: whether it takes pixels as bytes and normalizes them itself.
        labels: the names of the classes, None if the file holds none.
        keeps_samples: whether it works on more samples than it was written for; False if one
            of its constants says how many there are, or an operator mixes them.
        knows_rules: whether the rules of all its operators are known here.
        inputs, outputs: what its signature calls them, by tensor; a tensor that is put out
            twice has two names. Empty if it has no signature.
    """

    preprocessing: Optional[Preprocessing]
    takes_pixels: bool
    labels: Optional[tuple[str, ...]]
    keeps_samples: bool
    knows_rules: bool
    inputs: Names
    outputs: Names


def read_model(content: bytes) -> ModelFile:
    """Checks a .tflite file and returns what it says.

    Raises:
        Damaged: the file contradicts itself.
        ShapesDisagree: it does if the shapes hold that it has for activations.
    """
    try:
        model = Table.root(content, b"TFL3")
        codes = [max(code.number(0, "<b"), code.number(3)) for code in model.tables(1)]
        names = [code.text(1) for code in model.tables(1)]
        # The delegate checks LCE's own.
        unknown = any(
            not name.startswith("Lce") if code == _CUSTOM else code not in RULES
            for code, name in zip(codes, names)
        )
        buffers = [_buffer(table, content) for table in model.tables(4)]
        graphs = list(model.tables(2))
        if not graphs:
            raise Damaged("it has no graph")
        keeps_apart = all(
            [_check_graph(graph, codes, buffers, at == 0) for at, graph in enumerate(graphs)]
        )
        preprocessing, labels = _read_metadata(model, buffers, content)
        preprocessing, takes_pixels = _read_own_metadata(model, buffers, preprocessing)
        inputs, outputs = _signature(model)
    except (struct.error, OverflowError, MemoryError, RecursionError) as error:
        raise Damaged(str(error)) from None
    return ModelFile(
        preprocessing, takes_pixels, labels, keeps_apart, not unknown, inputs, outputs
    )


def with_shapes(content: bytes, shapes: dict[int, list[int]]) -> bytes:
    """Returns a file with other shapes, of those tensors that keep their number of dimensions.

    Args:
        content: a file whose tables `read_model` could follow.
        shapes: of the first graph's tensors, by index.
    """
    changed = bytearray(content)
    graph = next(Table.root(content, b"TFL3").tables(2))
    for index, table in enumerate(graph.tables(0)):
        at, count = table.vector(0, 4)
        shape = shapes.get(index, ())
        if count and count == len(shape):
            struct.pack_into(f"<{count}i", changed, at, *shape)
    return bytes(changed)


def _buffer(table: Table, content: bytes) -> memoryview:
    # Files beyond 2 GB keep their buffers behind the flatbuffer.
    offset, size = table.number(1, "<Q"), table.number(2, "<Q")
    if offset > 1:
        if offset + size > len(content):
            raise Damaged(f"a buffer ends at byte {offset + size} of {len(content)}")
        return memoryview(content)[offset : offset + size]
    return table.bytes(0)


def _tensor(index: int, table: Table, buffers: list[memoryview], is_first: bool) -> Tensor:
    """Reads a tensor; what other graphs than the first are called with is not known."""
    shape, kind, buffer = table.numbers(0), table.number(1, "<b"), table.number(2, "<I")
    if any(size < 0 for size in shape):
        raise Damaged(f"tensor {index} has the shape {shape}")
    if buffer >= len(buffers):
        raise Damaged(f"tensor {index} lies in buffer {buffer} of {len(buffers)}")
    data = buffers[buffer]
    elements = math.prod(shape)
    if elements * _BITS.get(kind, 8) > 2**40:
        raise Damaged(f"tensor {index} has the shape {shape}")
    is_sparse = table.table(6) is not None
    if (
        len(data)
        and kind in _BITS
        and not is_sparse
        and len(data) < elements * _BITS[kind] // 8
    ):
        raise Damaged(f"tensor {index} of shape {shape} has {len(data)} bytes")
    known = shape if len(data) else _known(shape, table) if is_first else None
    is_variable = bool(table.number(5, "<?"))
    quantization = table.table(4)
    if quantization is None:
        return Tensor(shape, known, kind, data, is_variable, (), (), is_sparse)
    # Details say where the scales of blocks are.
    scales = None if quantization.number(4, "<B") else quantization.numbers(2, "f")
    points = quantization.numbers(3, "q")
    return Tensor(shape, known, kind, data, is_variable, scales, points, is_sparse)


def _known(shape: tuple[int, ...], table: Table) -> Optional[tuple[Optional[int], ...]]:
    """Returns the dimensions that the file does not leave to LiteRT."""
    signature = table.numbers(7)
    if not shape or (signature and len(signature) != len(shape)):
        return None
    open_ones = [size < 0 for size in signature] or [False] * len(shape)
    return tuple(None if left else size for left, size in zip(open_ones, shape))


def _check_graph(
    graph: Table, codes: list[int], buffers: list[memoryview], is_first: bool
) -> bool:
    """Checks a graph; returns whether it keeps its samples apart, however many."""
    tensors = [_tensor(i, table, buffers, is_first) for i, table in enumerate(graph.tables(0))]
    inputs, outputs = graph.numbers(1), graph.numbers(2)
    for index in (*inputs, *outputs):
        if not 0 <= index < len(tensors):
            raise Damaged(f"its graph has tensor {index} of {len(tensors)} for input or output")
    written = [bool(len(tensor.data)) or tensor.is_variable for tensor in tensors]
    for index in inputs:
        if written[index]:
            raise Damaged(f"its input, tensor {index}, has a value already")
        written[index] = True
    keeps_apart = True
    for number, operator in enumerate(graph.tables(3)):
        keeps_apart &= _check_operator(number, operator, codes, tensors, written)
    for index in outputs:
        if not written[index]:
            raise Damaged(f"no operator writes its output, tensor {index}")
        if tensors[index].is_sparse:
            raise Damaged(f"its output, tensor {index}, is sparse")
    return keeps_apart


def _check_operator(
    number: int, operator: Table, codes: list[int], tensors: list[Tensor], written: list[bool]
) -> bool:
    code_index = operator.number(0, "<I")
    if code_index >= len(codes):
        raise Damaged(f"operator {number} is of kind {code_index} of {len(codes)}")
    code = codes[code_index]
    inputs, outputs = operator.numbers(1), operator.numbers(2)
    for index in inputs:
        if index == -1 and code in _OPTIONAL_INPUTS:
            continue
        if not 0 <= index < len(tensors):
            raise Damaged(f"operator {number} reads tensor {index} of {len(tensors)}")
        # An optional tensor may be one without elements.
        if not written[index] and math.prod(tensors[index].shape):
            raise Damaged(f"operator {number} reads tensor {index}, which nobody has written")
        # LiteRT takes the data for as many as the shape says.
        if tensors[index].is_sparse and code != _DENSIFY:
            raise Damaged(f"operator {number} reads tensor {index}, which is sparse")
    for index in outputs:
        if not 0 <= index < len(tensors):
            raise Damaged(f"operator {number} writes tensor {index} of {len(tensors)}")
        if written[index] and not tensors[index].is_variable:
            raise Damaged(f"operator {number} writes tensor {index}, which has a value already")
        written[index] = True
    operator.bytes(5)  # the custom options lie inside the file
    read = [tensors[index] if index >= 0 else None for index in inputs]
    check_operator(number, code, operator, read, [tensors[index] for index in outputs])
    return keeps_samples(code, operator, [tensor for tensor in read if tensor])


def _signature(model: Table) -> tuple[Names, Names]:
    """Returns what the signature of the first graph calls its inputs and outputs."""
    for signature in model.tables(7):
        if signature.number(4, "<I") == 0:
            inputs, outputs = (
                tuple(
                    (entry.number(1, "<I"), entry.text(0)) for entry in signature.tables(side)
                )
                for side in (0, 1)
            )
            return inputs, outputs
    return (), ()


def _read_metadata(model: Table, buffers: list[memoryview], content: bytes):
    """Returns preprocessing and labels from the standard metadata of TensorFlow Lite."""
    for entry in model.tables(6):
        index = entry.number(1, "<I")
        if entry.text(0) != "TFLITE_METADATA" or index >= len(buffers):
            continue
        for graph in Table.root(bytes(buffers[index]), b"M001").tables(3):
            inputs, outputs = list(graph.tables(2)), list(graph.tables(3))
            preprocessing = _normalization(inputs[0]) if inputs else None
            return preprocessing, _labels(outputs[0], content) if outputs else None
    return None, None


def _read_own_metadata(
    model: Table, buffers: list[memoryview], standard: Optional[Preprocessing]
) -> tuple[Optional[Preprocessing], bool]:
    """Adds what the standard has no place for, from larq_bcd's metadata, which are JSON.

    Returns:
        The preprocessing, and whether the file takes pixels as bytes.
    """
    for entry in model.tables(6):
        index = entry.number(1, "<I")
        if entry.text(0) != "LARQ_BCD" or index >= len(buffers):
            continue
        try:
            own = json.loads(bytes(buffers[index])).get("preprocessing")
            if own is None or standard is None:
                return standard, False
            (height, width), resize = own["image_size"], own["resize"]
            resampling, takes_pixels = own["resampling"], own["encoding"] != "float32"
            is_known = resampling in RESAMPLINGS and (
                resize is None or is_possible(resize, height, width)
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"its metadata cannot be read: {error}") from None
        if not is_known:
            raise Damaged(f"its metadata has resize {resize} and resampling {resampling}")
        return replace(standard, resize=resize, resampling=resampling), takes_pixels
    return standard, False


def is_possible(resize: int, height: int, width: int) -> bool:
    """Whether the center of an image can be cut out, and the image fits the memory."""
    longer = max(height, width)
    return isinstance(resize, int) and longer <= resize <= LARGEST_RESIZE


def _normalization(tensor: Table) -> Optional[Preprocessing]:
    for unit in tensor.tables(4):
        options = unit.table(1)
        if unit.number(0, "<B") == 1 and options is not None:
            mean, std = options.numbers(0, "f"), options.numbers(1, "f")
            if not mean or not std or 0 in std:
                raise Damaged(f"its metadata has the mean {mean} and the deviation {std}")
            return Preprocessing(mean, std)
    return None


def _labels(tensor: Table, content: bytes) -> Optional[tuple[str, ...]]:
    names = [file.text(0) for file in tensor.tables(6) if file.number(2, "<b") == 2]
    if not names:
        return None
    # The files stand in a ZIP archive behind the flatbuffer.
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return tuple(archive.read(names[0]).decode("utf-8").splitlines())
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, NotImplementedError) as error:
        raise Damaged(f"its labels cannot be read: {error}") from None
