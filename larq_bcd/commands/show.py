"""Prints what a .tflite file is made of and says about itself."""

import argparse
import struct
import zipfile
from collections import Counter
from pathlib import Path

from larq_bcd._signals import Signals
from larq_bcd.convert.errors import ConversionError
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.metadata import FileMetadata, read_metadata

# What the bindings of the schema raise for bytes that are none: offsets that lead outside,
# unknown numbers of types and operators, text that is not UTF-8.
_DAMAGE = (
    struct.error,
    IndexError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    zipfile.BadZipFile,
)


def read_file(path: Path) -> tuple[Graph, int, FileMetadata]:
    """Reads a `.tflite` file: its graph, its size in bytes, and its metadata.

    Raises:
        ConversionError: if it cannot be read, or is damaged or no such file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConversionError(
            f"{path} cannot be read ({error.strerror}): name a .tflite file."
        ) from error
    if content[4:8] != b"TFL3":
        raise ConversionError(
            f"{path} is not a .tflite file: convert a model with lce_convert."
        )
    try:
        return Graph(content), len(content), read_metadata(content)
    except _DAMAGE as error:
        raise ConversionError(f"{path} is damaged: convert the model again.") from error


def _tensors(values: list[Value], names: list[str]) -> list[str]:
    return [
        f"{name} {list(value.shape)} {value.dtype}"
        for name, value in zip(names, values, strict=True)
    ]


def _normalization(standard: dict) -> list[str]:
    lines = []
    for graph in standard.get("subgraph_metadata", ()):
        tensors = graph.get("input_tensor_metadata", ())
        for tensor in tensors:
            if not tensor.get("process_units"):
                continue  # nothing is known of it but its name
            which = f"{tensor.get('name', '')}: " if len(tensors) > 1 else ""
            lines.append(f"image       {which}{tensor.get('description', '')}")
            for unit in tensor.get("process_units", ()):
                options = unit.get("options", {})
                mean, std = (
                    ", ".join(f"{value:.6g}" for value in options.get(key, ()))
                    for key in ("mean", "std")
                )
                lines.append(f"preprocess  (pixel - mean) / std, mean {mean}, std {std}")
    return lines


def describe(graph: Graph, size: int, found: FileMetadata) -> list[str]:
    """A file in lines for people."""
    counts = Counter(node.type for node in graph.nodes).most_common()
    lines = [
        f"size        {size:,} bytes",
        *(f"input       {line}" for line in _tensors(graph.inputs, graph.input_names)),
        *(f"output      {line}" for line in _tensors(graph.outputs, graph.output_names)),
        f"operators   {len(graph.nodes)}: "
        + ", ".join(f"{count} {kind}" for kind, count in counts),
    ]
    if found.standard is not None:
        lines.append(f"name        {found.standard.get('name', '')}")
        lines += _normalization(found.standard)
    if found.labels is not None:
        shown = ", ".join(found.labels[:5]) + (", ..." if len(found.labels) > 5 else "")
        lines.append(f"labels      {len(found.labels)}: {shown}")
    for key, value in (found.origin or {}).items():
        text = value
        if isinstance(value, dict):
            text = ", ".join(f"{name} {one}" for name, one in value.items())
        elif isinstance(value, list):
            text = ", ".join(map(str, value)) or "none"
        lines.append(f"{key.replace('_', ' '):11} {text}")
    return lines


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    print("\n".join(describe(*read_file(arguments.file))))
    return 0
