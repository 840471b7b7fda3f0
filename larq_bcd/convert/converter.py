"""Larq Compute Engine's converter, whose death is an error."""

import importlib.util
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tensorflow.core.framework.types_pb2 import DataType

from larq_bcd.convert import converter_process
from larq_bcd.convert.errors import ConversionError

_TAGS, _SIGNATURES, _VERSION, _TARGET = ["serve"], ["serving_default"], 1, "arm"


class ConverterError(Exception):
    """What the converter says of its failure; it writes more to stderr."""


class ConverterDiedError(ConverterError):
    """The converter died; the message says of what."""


def convert_saved_model(folder: str, int8_range: tuple[float, float] | None = None) -> bytes:
    """Converts the default signature of a SavedModel.

    Args:
        folder: of the SavedModel.
        int8_range: by which everything is quantized that has no range of its own.

    Returns:
        The flatbuffer.

    Raises:
        ConverterError: if the converter fails.
        MemoryError: if memory does not suffice.
        ConversionError: if no process can be started.
    """
    return _run(
        "convert_saved_model_to_tflite_flatbuffer",
        (folder, _TAGS, _SIGNATURES, _VERSION, _TARGET, int8_range),
    )


def convert_graph(function) -> bytes:
    """Converts a function whose variables are constants.

    Args:
        function: of `convert_variables_to_constants_v2`; an open batch becomes 1.

    Returns:
        The flatbuffer.

    Raises:
        As `convert_saved_model`.
    """
    graph = function.graph.as_graph_def()
    quantizes = any(node.op.startswith(("FakeQuant", "QuantizeAndDe")) for node in graph.node)
    return _run(
        "convert_graphdef_to_tflite_flatbuffer",
        (
            graph.SerializeToString(),
            [tensor.op.name for tensor in function.inputs],
            [DataType.Name(tensor.dtype.as_datatype_enum) for tensor in function.inputs],
            [[tensor.shape[0] or 1, *tensor.shape[1:]] for tensor in function.inputs],
            [tensor.op.name for tensor in function.outputs],
            quantizes,
            _TARGET,
            None,
        ),
    )


def _library() -> Path:
    package = importlib.util.find_spec("larq_compute_engine")
    assert package is not None
    assert package.origin is not None
    (library,) = (Path(package.origin).parent / "mlir").glob("_tf_tfl_flatbuffer.*")
    return library


def _run(function: str, arguments: tuple) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        request, result = Path(folder, "request"), Path(folder, "result")
        request.write_bytes(pickle.dumps((function, arguments)))
        # Isolated: it needs nothing of the environment, and its start takes less.
        command = [sys.executable, "-I", "-S", converter_process.__file__]
        try:
            done = subprocess.run(
                [*command, str(_library()), str(request), str(result)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=False,
            )
        except OSError as error:
            raise ConversionError(
                "the converter runs in a process of its own, which cannot be started "
                f"({error}): let {sys.executable!r} be run."
            ) from error
        match done.returncode:
            case 0:
                return result.read_bytes()
            case converter_process.REFUSED:
                raise ConverterError(result.read_text(encoding="utf-8"))
            case converter_process.OUT_OF_MEMORY:
                raise MemoryError
            case status if status == -signal.SIGKILL:
                raise MemoryError  # what kills it is the machine, for want of memory
            case status:
                raise ConverterDiedError(_death(status))


def _death(status: int) -> str:
    if status < 0:
        return f"it died of {signal.Signals(-status).name}"
    return f"it died with exit status {status}"
