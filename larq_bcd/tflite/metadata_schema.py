"""The part of TensorFlow Lite's metadata schema that an image classifier needs, as data.

The schema, version 1.5.0, is metadata_schema.fbs of MediaPipe and of the TensorFlow Lite
Support Library. No package of the supported set-ups has bindings to it, and generated ones are
thousands of lines; here a table is the list of its fields, in the schema's order.
"""

import flatbuffers
import numpy as np
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

IDENTIFIER = b"M001"
# Positions in the unions and enumerations of the schema.
IMAGE_PROPERTIES, NORMALIZATION_OPTIONS = 2, 1
COLOR_SPACES = {1: 2, 3: 1}  # channels: GRAYSCALE, RGB
TENSOR_AXIS_LABELS = 2
# The first version of the schema that has all of the fields below.
VERSION = "1.0.0"

_TABLES: dict[str, dict[str, str]] = {
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
    },
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    # A union is two fields: which of its tables it is, and the table.
    "Content": {"content_properties_type": "ubyte", "content_properties": "ImageProperties"},
    "ImageProperties": {"color_space": "byte", "default_size": "ImageSize"},
    "ImageSize": {"width": "uint", "height": "uint"},
    "ProcessUnit": {"options_type": "ubyte", "options": "NormalizationOptions"},
    "NormalizationOptions": {"mean": "[float]", "std": "[float]"},
    "Stats": {"max": "[float]", "min": "[float]"},
    "AssociatedFile": {"name": "string", "description": "string", "type": "byte"},
}
_SCALARS = {
    "ubyte": number_types.Uint8Flags,
    "byte": number_types.Int8Flags,
    "uint": number_types.Uint32Flags,
}
_KNOWN_UNIONS = {
    "content_properties": IMAGE_PROPERTIES,
    "options": NORMALIZATION_OPTIONS,
}


def write(metadata: dict) -> bytes:
    """The bytes of a `ModelMetadata` of the schema, from nested dictionaries and lists."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write_table(builder, "ModelMetadata", metadata), IDENTIFIER)
    return bytes(builder.Output())


def _write_table(builder: flatbuffers.Builder, table: str, values: dict) -> int:
    fields = _TABLES[table]
    # What a table points to is written before it.
    parts = {
        name: value if fields[name] in _SCALARS else _write(builder, fields[name], value)
        for name, value in values.items()
    }
    builder.StartObject(len(fields))
    for slot, (name, kind) in enumerate(fields.items()):
        if name not in parts:
            continue
        if kind in _SCALARS:
            builder.PrependSlot(_SCALARS[kind], slot, parts[name], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, parts[name], 0)
    return builder.EndObject()


def _write(builder: flatbuffers.Builder, kind: str, value) -> int:
    if kind == "string":
        return builder.CreateString(value)
    if kind == "[float]":
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    if kind.startswith("["):
        items = [_write(builder, kind[1:-1], item) for item in value]
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()
    return _write_table(builder, kind, value)


def read(content: bytes) -> dict:
    """The inverse of `write`; leaves out what it does not know."""
    start = encode.Get(packer.uoffset, content, 0)
    return _read_table(Table(bytearray(content), start), "ModelMetadata")


def _read_table(table: Table, name: str) -> dict:
    values: dict = {}
    for slot, (field, kind) in enumerate(_TABLES[name].items()):
        offset = table.Offset(4 + 2 * slot)
        unknown = field in _KNOWN_UNIONS and values.get(f"{field}_type") != _KNOWN_UNIONS[field]
        if not offset or unknown:
            continue
        position = table.Pos + offset
        if kind in _SCALARS:
            values[field] = table.Get(_SCALARS[kind], position)
        else:
            values[field] = _read(table, kind, offset)
    return values


def _read(table: Table, kind: str, offset: int):
    position = table.Pos + offset
    if kind == "string":
        return table.String(position).decode()
    if kind == "[float]":
        return [float(x) for x in table.GetVectorAsNumpy(number_types.Float32Flags, offset)]
    if kind.startswith("["):
        start, count = table.Vector(offset), table.VectorLen(offset)
        positions = [start + 4 * i for i in range(count)]
        if kind == "[string]":
            return [table.String(position).decode() for position in positions]
        tables = [Table(table.Bytes, table.Indirect(position)) for position in positions]
        return [_read_table(one, kind[1:-1]) for one in tables]
    return _read_table(Table(table.Bytes, table.Indirect(position)), kind)
