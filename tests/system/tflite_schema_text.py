"""The schema of TensorFlow Lite as text, from the bindings that flatc made of it."""

import inspect
import re

from larq_compute_engine.mlir.python import tflite_schema

_SCALARS = {
    "Bool": "bool",
    "Int8": "int8",
    "Uint8": "uint8",
    "Int16": "int16",
    "Uint16": "uint16",
    "Int32": "int32",
    "Uint32": "uint32",
    "Int64": "int64",
    "Uint64": "uint64",
    "Float32": "float32",
    "Float64": "float64",
}
_SCALAR = re.compile(r"_tab\.Get\(flatbuffers\.number_types\.(\w+?)Flags, [ao] ")
# Fields whose union has another name than they.
_UNIONS = {
    "Details": "QuantizationDetails",
    "ArraySegments": "SparseIndexVector",
    "ArrayIndices": "SparseIndexVector",
}
_DERIVED = re.compile(r"(AsNumpy|Length|IsNone)$")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _field_type(source: str, field: str) -> str | None:
    """The type of a field, from the source of the method that reads it."""
    if "_tab.Union(" in source:
        return f"union {_UNIONS.get(field, field)}"
    is_vector = "_tab.Vector(" in source
    if "_tab.String(" in source:
        kind = "string"
    elif scalar := _SCALAR.search(source):
        kind = _SCALARS[scalar[1]]
    elif table := re.search(r"obj = (\w+)\(\)", source):
        kind = table[1]
    else:
        return None
    return f"[{kind}]" if is_vector else kind


def _fields(table: type) -> dict[int, tuple[str, str]]:
    """Name and type of each field of a table, by its place in the vtable."""
    found: dict[int, tuple[str, str]] = {}
    for name, method in vars(table).items():
        if not inspect.isfunction(method) or _DERIVED.search(name):
            continue
        source = inspect.getsource(method)
        place = re.search(r"self\._tab\.Offset\((\d+)\)", source)
        kind = _field_type(source, name) if place else None
        if place and kind:
            found[int(place[1])] = name, kind
    return found


def schema_text() -> str:
    """Tables and unions as an .fbs file; what is an enumeration there is a number here."""
    classes = dict(inspect.getmembers(tflite_schema, inspect.isclass))
    tables = {name: cls for name, cls in classes.items() if hasattr(cls, "GetRootAs")}
    unions: set[str] = set()
    lines: list[str] = []
    for name, table in tables.items():
        fields = _fields(table)
        lines.append(f"table {name} {{")
        for place in range(4, max(fields, default=2) + 2, 2):
            field, kind = fields.get(place, (f"unknown{place}", "uint8"))
            if fields.get(place + 2, ("", ""))[1].startswith("union "):
                continue  # flatc itself puts the type of a union before it
            if kind.startswith("union "):
                kind = kind.removeprefix("union ")
                unions.add(kind)
            lines.append(f"  {_snake(field)}:{kind};")
        lines.append("}")
    # In the order of their numbers; flatc wants a union before what uses it.
    members = {
        union: sorted(
            (v, k) for k, v in vars(classes[union]).items() if isinstance(v, int) and v
        )
        for union in sorted(unions)
    }
    declared = [
        f"union {union} {{ {', '.join(name for _, name in numbered)} }}"
        for union, numbered in members.items()
    ]
    return "\n".join(
        [
            "namespace tflite;",
            'file_identifier "TFL3";',
            *declared,
            *lines,
            "root_type Model;",
            "",
        ]
    )
