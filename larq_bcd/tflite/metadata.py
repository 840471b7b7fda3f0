"""What a file says about itself: preprocessing, labels, and where it comes from."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.input_type import InputEncoding
from larq_bcd.convert.inputs import RESIZE
from larq_bcd.tflite import metadata_schema
from larq_bcd.tflite.graph import Graph

# The names under which a flatbuffer keeps the standard metadata, and ours.
_STANDARD, _OURS = "TFLITE_METADATA", "LARQ_BCD"
_LABELS = "labels.txt"


@dataclass(frozen=True)
class FileMetadata:
    """What is known of a file.

    Attributes:
        standard: the standard metadata, as `metadata_schema` has them; None if there are none.
        origin: what this package adds: versions, the recipe's hash, the report's summary.
        labels: the names of the classes.
    """

    standard: dict | None
    origin: dict | None
    labels: list[str] | None


def read_labels(path: Path) -> tuple[str, ...]:
    """The names of the classes, one in each line of a file.

    Raises:
        ConversionError: if the file cannot be read or holds none.
    """
    try:
        lines = path.read_text("utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(
            f"labels {path} cannot be read ({error}): give a text file in UTF-8."
        ) from error
    labels = tuple(line.strip() for line in lines)
    if not any(labels):
        raise ConversionError(f"labels {path} is empty: write one name in each line.")
    return labels


def add_metadata(
    graph: Graph,
    name: str,
    encoding: InputEncoding,
    origin: dict,
    labels: tuple[str, ...] | None,
) -> bytes:
    """Writes metadata that Android's and MediaPipe's tools read into a file.

    Args:
        graph: with one input; it is given the metadata.
        name: of the model.
        encoding: of the input.
        origin: versions, hashes and figures, for JSON.
        labels: the names of the classes; they become an associated file.

    Returns:
        The bytes of the file. With labels, an archive follows the flatbuffer.

    Raises:
        ConversionError: if there are not as many labels as classes.
    """
    standard = _standard(graph, name, encoding, labels)
    graph.metadata[_STANDARD] = metadata_schema.write(standard)
    graph.metadata[_OURS] = json.dumps(origin, sort_keys=True).encode()
    content = graph.write()
    if labels is None:
        return content
    # The format's place for files: an archive behind the flatbuffer.
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        # A fixed date, so that the same model gives the same file.
        entry = zipfile.ZipInfo(_LABELS, (1980, 1, 1, 0, 0, 0))
        archive.writestr(entry, "\n".join(labels) + "\n")
    return stream.getvalue()


def _standard(
    graph: Graph, name: str, encoding: InputEncoding, labels: tuple[str, ...] | None
) -> dict:
    (image,) = graph.inputs
    given: dict = {"name": plain_name(image.name), "description": "features"}
    if len(image.shape) == 4 and image.shape[-1] in metadata_schema.COLOR_SPACES:
        given = _image(plain_name(image.name), image.shape, encoding)
    results: list[dict] = [
        {"name": plain_name(value.name), "description": "logits"} for value in graph.outputs
    ]
    if labels is not None:
        classes = graph.outputs[0].shape[-1]
        if len(labels) != classes:
            raise ConversionError(
                f"there are {len(labels)} labels, but {classes} classes: give one line for "
                "each class."
            )
        results[0]["associated_files"] = [
            {
                "name": _LABELS,
                "description": "names of the classes",
                "type": metadata_schema.TENSOR_AXIS_LABELS,
            }
        ]
    return {
        "name": name,
        "description": "Binary neural network, converted by larq_bcd.",
        "subgraph_metadata": [
            {"input_tensor_metadata": [given], "output_tensor_metadata": results}
        ],
        "min_parser_version": metadata_schema.VERSION,
    }


def plain_name(name: str) -> str:
    """A tensor's name without what says nothing to a user: a prefix and an output's number."""
    return name.removeprefix("serving_default_").split(":")[0]


def _image(name: str, shape: tuple[int, ...], encoding: InputEncoding) -> dict:
    _, height, width, channels = shape
    mean, std = encoding.normalize.mean, encoding.normalize.std
    if encoding.kind != "float32":
        # The file normalizes; its quantization maps [0, 1] to bytes.
        mean, std = (0.0,) * channels, (1.0,) * channels
    black = [-m / s for m, s in zip(mean, std, strict=True)]
    white = [(1 - m) / s for m, s in zip(mean, std, strict=True)]
    sides = round(RESIZE * height), round(RESIZE * width)
    return {
        "name": name,
        "description": f"Image, scaled to cover {sides[1]}x{sides[0]} and cropped at the "
        f"center to {width}x{height}; pixels of 0 to 255.",
        "content": {
            "content_properties_type": metadata_schema.IMAGE_PROPERTIES,
            "content_properties": {
                "color_space": metadata_schema.COLOR_SPACES[channels],
                "default_size": {"width": width, "height": height},
            },
        },
        "process_units": [
            {
                "options_type": metadata_schema.NORMALIZATION_OPTIONS,
                # In units of pixels of 0 to 255, as the schema has them.
                "options": {
                    "mean": [255 * value for value in mean],
                    "std": [255 * value for value in std],
                },
            }
        ],
        "stats": {"max": white, "min": black},
    }


def read_metadata(content: bytes) -> FileMetadata:
    """What a file says about itself.

    Args:
        content: the bytes of a `.tflite` file, of this package or another.
    """
    found = Graph(content).metadata
    standard = metadata_schema.read(found[_STANDARD]) if _STANDARD in found else None
    origin = json.loads(found[_OURS]) if _OURS in found else None
    labels = None
    stream = io.BytesIO(content)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            if _LABELS in archive.namelist():
                labels = archive.read(_LABELS).decode().splitlines()
    return FileMetadata(standard, origin, labels)
