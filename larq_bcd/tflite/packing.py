"""The schema's objects of a file, from its bytes and to its bytes."""

from typing import Any

import flatbuffers
import numpy as np

from larq_bcd.tflite.schema import schema

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_INLINE = 1  # an offset up to it says that a buffer's bytes are in the flatbuffer itself


def unpacked(content: bytes) -> Any:
    """The schema's object of a file, with all its bytes within the flatbuffer."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for buffer in model.buffers:
        if buffer.offset > _INLINE:
            outside = content[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(outside, np.uint8), 0, 0
    for subgraph in model.subgraphs:
        for operator in listed(subgraph.operators):
            start = operator.largeCustomOptionsOffset
            if start > _INLINE:
                outside = content[start : start + operator.largeCustomOptionsSize]
                operator.customOptions = np.frombuffer(outside, np.uint8)
                operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def data(buffer: Any) -> np.ndarray:
    """The bytes of a buffer: uint8."""
    return np.asarray(() if buffer.data is None else buffer.data, np.uint8)


def shape(packed: Any) -> tuple[int, ...]:
    """The static shape of a tensor."""
    return tuple(int(size) for size in listed(packed.shape))


def listed(entries: Any) -> list:
    """The entries of a vector, which may be absent."""
    return [] if entries is None else list(entries)


def content(model: Any) -> bytes:
    """The bytes of a model, with its buffers where the schema demands."""
    # Room for all, so that the builder need not grow again and again.
    size = sum(len(data(buffer)) + 2 * _ALIGNMENT for buffer in model.buffers)
    builder = flatbuffers.Builder(size + (1 << 20))
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


class AlignedBuffer(schema.BufferT):
    """A buffer that starts at a multiple of 16 bytes, as the schema demands.

    The bindings forget it, and kernels read whole vectors from where the weights are.
    """

    def __init__(self, buffer: Any = None):
        super().__init__()
        self.data = None if buffer is None else buffer.data

    def Pack(self, builder: Any) -> Any:
        """Writes the buffer; the schema's name for it."""
        values = data(self).tobytes()
        vector = None
        if values:
            builder.StartVector(1, len(values), _ALIGNMENT)
            builder.head -= len(values)
            builder.Bytes[builder.head : builder.head + len(values)] = values
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)
