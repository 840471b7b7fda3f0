import dataclasses
import zipfile

import numpy as np
import pytest

from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.convert import FileOptions, convert
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.tflite.engines import REFERENCE, open_engine
from larq_bcd.tflite.metadata import FileMetadata, read_labels, read_metadata

IMAGES = Preprocessing((12, 12), (0.5,) * 3, (0.25,) * 3, resize=14)
LABELS = ("ape", "bee", "cat", "dög", "eel")


@pytest.fixture(scope="module")
def described(small):
    options = FileOptions(
        description=Description(IMAGES, LABELS),
        recipe_sha256="ab" * 32,
    )
    return convert(small, options=options)


def test_labels_and_preprocessing_are_where_the_standard_puts_them(described, tmp_path):
    found = read_metadata(described.content)
    (graph,) = found.standard["subgraph_metadata"]
    (image,), (logits,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert image["name"] == "image"
    assert image["content"]["content_properties"] == {
        "color_space": 1,
        "default_size": {"width": 12, "height": 12},
    }
    (unit,) = image["process_units"]
    assert unit["options"] == {"mean": [127.5] * 3, "std": [63.75] * 3}
    assert image["stats"] == {"max": [2.0] * 3, "min": [-2.0] * 3}
    assert "resized to 14 and cropped at the center to 12x12" in image["description"]
    (labels,) = logits["associated_files"]
    assert (labels["name"], labels["type"]) == ("labels.txt", 2)
    # The archive is an ordinary one.
    (tmp_path / "file.tflite").write_bytes(described.content)
    with zipfile.ZipFile(tmp_path / "file.tflite") as archive:
        assert archive.read("labels.txt").decode().split() == list(LABELS)
    assert found.labels == list(LABELS)


def test_bytes_as_input_leave_only_the_scale_to_the_caller(small):
    result = convert(
        small, options=FileOptions(input_type="uint8", description=Description(IMAGES))
    )
    standard = read_metadata(result.content).standard
    (image,) = standard["subgraph_metadata"][0]["input_tensor_metadata"]
    assert image["process_units"][0]["options"] == {"mean": [0.0] * 3, "std": [255.0] * 3}


def test_what_is_not_known_is_not_written(small):
    result = convert(small)
    found = read_metadata(result.content)
    (graph,) = found.standard["subgraph_metadata"]
    assert graph["input_tensor_metadata"] == [{"name": "image", "description": "features"}]
    assert "preprocessing" not in found.origin
    assert found.description((12, 12, 3)) == Description()
    assert any("is not known, and so not in the file" in note for note in result.report.notes)


@pytest.mark.parametrize("encoding", ["float32", "uint8", "int8"])
def test_a_file_gives_back_the_preprocessing_that_it_was_given(small, encoding):
    options = FileOptions(input_type=encoding, description=Description(IMAGES, LABELS))
    found = read_metadata(convert(small, options=options).content).description((12, 12, 3))
    assert found.preprocessing == dataclasses.replace(IMAGES, encoding=encoding)
    assert found.class_names == LABELS


def test_of_another_tools_file_the_normalization_is_taken_and_the_whole_image(described):
    standard = read_metadata(described.content).standard
    found = FileMetadata(standard, None, None).description((12, 12, 3)).preprocessing
    assert found == dataclasses.replace(IMAGES, resize=None)


def test_preprocessing_that_contradicts_the_file_is_an_error(described):
    with pytest.raises(UserError, match=r"makes images of shape \(12, 12, 3\)"):
        read_metadata(described.content).description((8, 8, 3))


def test_origin_says_how_the_file_was_made(described):
    origin = read_metadata(described.content).origin
    assert origin["recipe_sha256"] == "ab" * 32
    assert origin["binary_layers"] == 2
    assert origin["check"]["verdict"].startswith("equal")
    assert "larq-compute-engine" in origin["versions"]


def test_a_file_with_labels_still_runs(described, small):
    x = np.random.default_rng(0).normal(size=(1, 12, 12, 3)).astype("f")
    (outputs,) = open_engine(described.content, 1, REFERENCE).predict(x)
    np.testing.assert_allclose(outputs, small(x), atol=1e-3)


def test_the_number_of_labels_has_to_fit(small):
    options = FileOptions(description=Description(class_names=("a", "b")))
    with pytest.raises(UserError, match="2 labels, but 5 classes"):
        convert(small, options=options)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"\xff\xfe", "UTF-8"), (b"\n", "is empty")],
)
def test_labels_that_cannot_be_read_are_an_error(tmp_path, content, words):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_labels(path)


def test_show_prints_a_file(described, tmp_path, capsys):
    path = tmp_path / "file.tflite"
    path.write_bytes(described.content)
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    for words in (
        "image",
        "mean 127.5",
        "ape, bee",
        "2 LceBconv2d",
        "verdict equal",
        "ab" * 32,
    ):
        assert words in out


def test_show_says_what_is_wrong_with_a_damaged_file(described, tmp_path, capsys):
    path = tmp_path / "file.tflite"
    content = described.content
    rng = np.random.default_rng(0)
    damaged = [content[:n] for n in (0, 3, 8, 20, 200, len(content) // 2)]
    damaged += [rng.bytes(300), b"\x10\x00\x00\x00TFL3" + rng.bytes(300)]
    for _ in range(30):
        changed = bytearray(content[: len(content) // 2])
        changed[int(rng.integers(8, 400))] = int(rng.integers(256))
        damaged.append(bytes(changed))
    for one in damaged:
        path.write_bytes(one)
        status = main(["show", str(path)])
        err = capsys.readouterr().err
        assert status in (0, 2)
        assert err.count("\n") == (status == 2)
    assert main(["show", str(tmp_path / "missing")]) == 2
