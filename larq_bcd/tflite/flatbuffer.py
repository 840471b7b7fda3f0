"""Reads the flatbuffers that Larq Compute Engine writes.

The object bindings are those that larq-compute-engine ships: it rewrites its own files with
them, so they follow the schema it writes, and they are there in every supported set-up.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from larq_compute_engine.mlir.python import tflite_schema as schema

_BUILTIN_NAMES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()
}
DTYPES: dict[int, np.dtype] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.UINT8: np.dtype(np.uint8),
    schema.TensorType.INT64: np.dtype(np.int64),
    schema.TensorType.BOOL: np.dtype(np.bool_),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.INT16: np.dtype(np.int16),
}
_TYPE_NAMES = {
    value: name.lower() for name, value in vars(schema.TensorType).items() if name.isupper()
}
_BITS_PER_WORD = 32
_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16


@dataclass(frozen=True)
class Tensor:
    """A tensor of the flatbuffer; `dtype` is its name in TFLite, lower case."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Its size in bytes; 0 for types that NumPy does not have."""
        item = DTYPES.get(getattr(schema.TensorType, self.dtype.upper()))
        return 0 if item is None else item.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator of the flatbuffer; absent optional inputs are None."""

    index: int
    type: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: dict

    @property
    def data(self) -> Tensor:
        """The tensor an operator with weights, or with one input, works on."""
        tensor = self.inputs[0]
        assert tensor is not None
        return tensor


class Flatbuffer:
    """A parsed flatbuffer with one subgraph.

    Args:
        content: the bytes of a `.tflite` file.
    """

    def __init__(self, content: bytes):
        self.content = content
        self._model = _unpack(content)
        graph = self._model.subgraphs[0]
        self.tensors = [
            Tensor(
                index=index,
                name=(tensor.name or b"").decode(),
                shape=() if tensor.shape is None else tuple(int(n) for n in tensor.shape),
                dtype=_TYPE_NAMES[tensor.type],
            )
            for index, tensor in enumerate(graph.tensors)
        ]
        self.inputs = [self.tensors[index] for index in graph.inputs]
        self.outputs = [self.tensors[index] for index in graph.outputs]
        self.operators = [self._operator(i, op) for i, op in enumerate(graph.operators)]

    def _operator(self, index: int, operator) -> Operator:
        code = self._model.operatorCodes[operator.opcodeIndex]
        custom = operator.customOptions
        has_options = code.customCode and custom is not None and len(custom) > 0
        return Operator(
            index=index,
            type=operator_name(code),
            inputs=tuple(self.tensors[i] if i >= 0 else None for i in operator.inputs),
            outputs=tuple(self.tensors[i] for i in operator.outputs),
            options=flexbuffers.Loads(bytes(custom)) if has_options else {},
        )

    @cached_property
    def producers(self) -> dict[int, Operator]:
        """The operator that writes a tensor, by the tensor's index."""
        return {tensor.index: op for op in self.operators for tensor in op.outputs}

    def constant(self, tensor: Tensor | None) -> np.ndarray | None:
        """The values of a constant tensor, or None for one that is computed."""
        if tensor is None:
            return None
        producer = self.producers.get(tensor.index)
        if producer is not None and producer.type == "FILL":
            # How the converter writes a large constant of one value, such as a new kernel.
            value = self.constant(producer.inputs[1])
            return None if value is None else np.full(tensor.shape, value)
        if producer is not None:
            return None
        packed = self._model.subgraphs[0].tensors[tensor.index]
        data = self._model.buffers[packed.buffer].data
        if data is None or len(data) == 0 or packed.type not in DTYPES:
            return None
        return np.asarray(data, np.uint8).view(DTYPES[packed.type]).reshape(tensor.shape)

    def operators_of(self, *types: str) -> list[Operator]:
        """The operators of the given types, in the order of execution."""
        return [operator for operator in self.operators if operator.type in types]

    def unpacked(self):
        """A `ModelT` object of the schema, of its own, to be changed and packed."""
        return _unpack(self.content)

    def outputs_like(self, names: list[str]) -> list[Tensor]:
        """The outputs in the order of a Keras model's, which a signature may have sorted.

        Args:
            names: the model's output names.
        """
        named = {}
        for signature in self._model.signatureDefs or ():
            for output in signature.outputs:
                named[output.name.decode()] = self.tensors[output.tensorIndex]
        return [named[n] for n in names] if set(names) == set(named) else self.outputs

    def with_outputs(self, tensors: list[Tensor]) -> bytes:
        """A copy of the flatbuffer whose outputs are the given tensors.

        Args:
            tensors: tensors that an operator or the caller writes.

        Returns:
            The bytes of a flatbuffer without signatures.
        """
        copy = _unpack(self.content)
        copy.subgraphs[0].outputs = [tensor.index for tensor in tensors]
        copy.signatureDefs = None
        return pack(copy)


def operator_name(code) -> str:
    """The name of an operator, built-in or custom, from its entry in the schema."""
    if code.customCode:
        return code.customCode.decode()
    # Codes below 127 are in the older, narrower field alone.
    return _BUILTIN_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _unpack(content: bytes):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


class _AlignedBuffer(schema.BufferT):
    """A buffer that starts at a multiple of 16 bytes, as the schema demands.

    The bindings forget it, and kernels read whole vectors from where the weights are.
    """

    def Pack(self, builder):
        """Writes the buffer; the schema's name for it."""
        vector = None
        if self.data is not None and len(self.data):
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def pack(model) -> bytes:
    """The bytes of a `ModelT` object."""
    plain = model.buffers
    model.buffers = [_AlignedBuffer() for _ in plain]
    for aligned, buffer in zip(model.buffers, plain, strict=True):
        aligned.data = buffer.data
    # Room for all, so that the builder need not grow again and again.
    size = sum(0 if b.data is None else len(b.data) + 2 * _ALIGNMENT for b in plain)
    builder = flatbuffers.Builder(size + (1 << 20))
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    model.buffers = plain
    return bytes(builder.Output())


def pack_signs(values: np.ndarray) -> np.ndarray:
    """Packs signs as Larq Compute Engine does: channel c is bit c % 32 of word c // 32.

    Args:
        values: any numeric array of shape (..., channels); a bit is set where it is < 0.

    Returns:
        int32 array of shape (..., ceil(channels / 32)); unused bits are 0.
    """
    bits = values < 0
    spare = -bits.shape[-1] % _BITS_PER_WORD
    bits = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, spare)])
    packed = np.ascontiguousarray(np.packbits(bits, axis=-1, bitorder="little"))
    return packed.view("<i4").astype(np.int32)


def unpack_signs(words: np.ndarray, channels: int) -> np.ndarray:
    """The inverse of `pack_signs`.

    Args:
        words: int32 array of shape (..., ceil(channels / 32)).
        channels: the number of channels that are packed.

    Returns:
        float32 array of shape (..., channels) of +1 and -1.
    """
    little = np.ascontiguousarray(words.astype("<i4")).view(np.uint8)
    bits = np.unpackbits(little, axis=-1, count=channels, bitorder="little")
    return (1 - 2 * bits.astype(np.int8)).astype(np.float32)
