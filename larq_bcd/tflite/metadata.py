"""What a file says about itself: preprocessing, labels, and where it comes from."""

import io
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.tflite import metadata_schema
from larq_bcd.tflite.graph import Graph

# The names under which a flatbuffer keeps the standard metadata, and ours.
_STANDARD, _OURS = "TFLITE_METADATA", "LARQ_BCD"
_PREPROCESSING = "preprocessing"
_LABELS = "labels.txt"


@dataclass(frozen=True)
class FileMetadata:
    """What a file says about itself.

    Attributes:
        standard: the standard metadata, as `metadata_schema` has them; None if there are none.
        origin: what this package adds: versions, the recipe's hash, the report's summary.
        labels: the names of the classes.
    """

    standard: dict | None
    origin: dict | None
    labels: list[str] | None

    def description(self, input_shape: tuple[int, ...]) -> Description:
        """Returns preprocessing and class names, as far as the file has them.

        A file that another tool has described has no word on how an image comes to its size:
        the whole image is resized then, as the standard's own libraries do.

        Args:
            input_shape: height, width and channels of the file's input.

        Raises:
            UserError: if they contradict each other or the input.
        """
        names = None if self.labels is None else tuple(self.labels)
        where = "the file's metadata"
        known = Description(None, names, "", where if names else "")
        own = (self.origin or {}).get(_PREPROCESSING)
        try:
            if own is not None:
                preprocessing = Preprocessing.from_plain(own)
                if preprocessing.input_shape != input_shape:
                    raise ValueError(
                        f"it makes images of shape {preprocessing.input_shape}, but the file "
                        f"takes {input_shape}"
                    )
                return replace(known, preprocessing=preprocessing, origin=where)
            options = _normalization(self.standard or {})
            if options is None:
                return known
            height, width, channels = input_shape
            mean, std = (
                tuple(value / 255 for value in options[key] * (channels // len(options[key])))
                for key in ("mean", "std")
            )
            preprocessing = Preprocessing((height, width), mean, std, resize=None)
        except (ValueError, KeyError, ZeroDivisionError) as error:
            raise UserError(
                f"the preprocessing in the file's metadata cannot be understood ({error}): "
                "convert the model again."
            ) from error
        return replace(known, preprocessing=preprocessing, origin=where)


def _normalization(standard: dict) -> dict | None:
    """Mean and standard deviation of the input in the standard metadata, of 0 to 255."""
    for graph in standard.get("subgraph_metadata", ()):
        for tensor in graph.get("input_tensor_metadata", ()):
            for unit in tensor.get("process_units", ()):
                if unit.get("options_type") == metadata_schema.NORMALIZATION_OPTIONS:
                    return unit.get("options")
    return None


def read_labels(path: Path) -> tuple[str, ...]:
    """The names of the classes, one in each line of a file.

    Raises:
        UserError: if the file cannot be read or holds none.
    """
    try:
        lines = path.read_text("utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"labels {path} cannot be read ({error}): give a text file in UTF-8."
        ) from error
    labels = tuple(line.strip() for line in lines)
    if not any(labels):
        raise UserError(f"labels {path} is empty: write one name in each line.")
    return labels


def add_metadata(
    graph: Graph,
    name: str,
    description: Description,
    origin: dict,
) -> bytes:
    """Writes metadata that Android's and MediaPipe's tools read into a file.

    Args:
        graph: is given the metadata.
        name: of the model.
        description: preprocessing and names of the classes; what is not known of them is
            not written. The names become an associated file.
        origin: versions, hashes and figures, for JSON.

    Returns:
        The bytes of the file. With labels, an archive follows the flatbuffer.

    Raises:
        UserError: if there are not as many labels as classes.
    """
    preprocessing, labels = description.preprocessing, description.class_names
    standard = _standard(graph, name, preprocessing, labels)
    graph.metadata[_STANDARD] = metadata_schema.write(standard)
    if preprocessing is not None:
        # What the standard has no place for: how the image is brought to its size.
        origin = {**origin, _PREPROCESSING: preprocessing.to_plain()}
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
    graph: Graph,
    name: str,
    preprocessing: Preprocessing | None,
    labels: tuple[str, ...] | None,
) -> dict:
    given = [
        _image(name, preprocessing)
        if preprocessing is not None and value.shape[1:] == preprocessing.input_shape
        else {"name": name, "description": "features"}
        for name, value in zip(map(plain_name, graph.input_names), graph.inputs, strict=True)
    ]
    results: list[dict] = [
        {"name": plain_name(name), "description": "logits"} for name in graph.output_names
    ]
    if labels is not None:
        classes = [value.channels for value in graph.outputs]
        if len(labels) not in classes:
            raise UserError(
                f"there are {len(labels)} labels, but {' and '.join(map(str, classes))} "
                "classes: give one line for each class."
            )
        results[classes.index(len(labels))]["associated_files"] = [
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
            {"input_tensor_metadata": given, "output_tensor_metadata": results}
        ],
        "min_parser_version": metadata_schema.VERSION,
    }


def plain_name(name: str) -> str:
    """A tensor's name without what says nothing to a user: a prefix and an output's number."""
    return name.removeprefix("serving_default_").split(":")[0]


def _image(name: str, preprocessing: Preprocessing) -> dict:
    height, width, channels = preprocessing.input_shape
    mean, std = preprocessing.mean, preprocessing.std
    if preprocessing.encoding != "float32":
        # The file normalizes; its quantization maps [0, 1] to bytes.
        mean, std = (0.0,) * channels, (1.0,) * channels
    black = [-m / s for m, s in zip(mean, std, strict=True)]
    white = [(1 - m) / s for m, s in zip(mean, std, strict=True)]
    geometry = f"resized to {width}x{height}"
    if preprocessing.resize is not None:
        geometry = (
            f"its shorter side resized to {preprocessing.resize} and cropped at the center to "
            f"{width}x{height}"
        )
    return {
        "name": name,
        "description": f"Image, {geometry}; pixels of 0 to 255.",
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
    """What a file says about itself."""
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
