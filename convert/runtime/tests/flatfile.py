"""Writes small .tflite files with LCE operators, also ones that the converter never emits."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


def flexbuffer(options: dict[str, object]) -> bytes:
    """Returns the options as the converter stores them."""
    return bytes(flexbuffers.Dumps(options))


def _tensor_maps(named: dict[str, int]) -> list:
    entries = []
    for name, index in named.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        entries.append(entry)
    return entries


@dataclass
class FlatFile:
    """A graph under construction; tensors and operators are added in order."""

    tensors: list = field(default_factory=list)
    buffers: list = field(default_factory=lambda: [b""])
    operators: list = field(default_factory=list)
    codes: list = field(default_factory=list)

    @classmethod
    def read(cls, content: bytes) -> "tuple[FlatFile, list[int], list[int]]":
        """Returns the graph of a file, its inputs and its outputs."""
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
        graph = model.subgraphs[0]
        buffers = [b"" if b.data is None else bytes(b.data) for b in model.buffers]
        file = cls(graph.tensors, buffers, graph.operators, model.operatorCodes)
        return file, list(graph.inputs), list(graph.outputs)

    def tensor(self, shape, dtype=np.float32, data=None, scale=None, zero_point=0) -> int:
        """Adds a tensor, a constant if it has data, and returns its index."""
        tensor = schema.TensorT()
        tensor.name = f"tensor{len(self.tensors)}".encode()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = 0
        if data is not None:
            tensor.buffer = len(self.buffers)
            self.buffers.append(data if isinstance(data, bytes) else np.asarray(data).tobytes())
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array) -> int:
        """Adds an array as a constant tensor."""
        array = np.asarray(array)
        return self.tensor(array.shape, array.dtype, array)

    def filled(self, shape, value) -> int:
        """Adds a tensor of one value as a FILL, as TensorFlow writes large constants."""
        result = self.tensor(shape, value.dtype)
        inputs = [self.constant(np.array(shape, np.int32)), self.constant(value)]
        kind = schema.BuiltinOptions.FillOptions
        self.builtin("FILL", inputs, [result], kind, schema.FillOptionsT())
        return result

    def custom(self, name, inputs, outputs, options=None) -> None:
        """Adds a custom operator; `options` are a dict or raw bytes."""
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = name
        code.version = 1
        operator = self._operator(code, inputs, outputs)
        if options is not None:
            raw = options if isinstance(options, bytes) else flexbuffer(options)
            operator.customOptions = np.frombuffer(raw, np.uint8)

    def builtin(self, code_name, inputs, outputs, options_type=None, options=None) -> None:
        """Adds an operator of TensorFlow Lite itself."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, code_name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        operator = self._operator(code, inputs, outputs)
        if options is not None:
            operator.builtinOptionsType = options_type
            operator.builtinOptions = options

    def _operator(self, code, inputs, outputs):
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        self.codes.append(code)
        self.operators.append(operator)
        return operator

    def build(self, inputs, outputs, signature=None) -> bytes:
        """Returns the file; a signature has tensors by name, of the inputs and the outputs."""
        graph = schema.SubGraphT()
        graph.tensors = self.tensors
        graph.operators = self.operators
        graph.inputs = np.array(inputs, np.int32)
        graph.outputs = np.array(outputs, np.int32)
        model = schema.ModelT()
        model.version = 3
        model.operatorCodes = self.codes
        model.subgraphs = [graph]
        if signature is not None:
            packed = schema.SignatureDefT()
            packed.signatureKey, packed.subgraphIndex = b"serving_default", 0
            packed.inputs, packed.outputs = map(_tensor_maps, signature)
            model.signatureDefs = [packed]
        model.buffers = []
        for data in self.buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, np.uint8) if data else None
            model.buffers.append(buffer)
        builder = flatbuffers.Builder(1 << 12)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
