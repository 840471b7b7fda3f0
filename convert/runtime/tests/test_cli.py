"""The command bcd-run."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from flatfile import FlatFile, schema
from PIL import Image

from larq_bcd_runtime import Interpreter, ModelError, benchmark, classify, cli, images
from larq_bcd_runtime.interpreter import TensorDetail


@pytest.fixture
def model(tmp_path):
    """Adds up the signs of each channel of a 4x6 image: its output is its color."""
    file = FlatFile()
    entry, packed = file.tensor((1, 4, 6, 3)), file.tensor((1, 4, 6, 1), np.int32)
    signs, result = file.tensor((1, 4, 6, 3)), file.tensor((1, 3))
    file.custom("LceQuantize", [entry], [packed])
    file.custom("LceDequantize", [packed], [signs])
    options = schema.ReducerOptionsT()
    options.keepDims = False
    axes = file.constant(np.array([1, 2], np.int32))
    file.builtin("MEAN", [signs, axes], [result], schema.BuiltinOptions.ReducerOptions, options)
    path = tmp_path / "color.tflite"
    path.write_bytes(file.build([entry], [result]))
    return str(path)


def normalization(mean, std) -> bytes:
    """The standard metadata of one normalized input and an output with labels, written by hand:
    a table is its number of fields, and their sizes and values are given in order."""
    builder = flatbuffers.Builder(256)

    def vector(values, prepend, size):
        builder.StartVector(size, len(values), 4)
        for value in reversed(values):
            prepend(value)
        return builder.EndVector()

    def table(fields, **values):
        builder.StartObject(fields)
        for slot, (kind, value) in values.items():
            getattr(builder, f"Prepend{kind}Slot")(int(slot[1:]), value, 0)
        return builder.EndObject()

    means = vector(mean, builder.PrependFloat32, 4)
    stds = vector(std, builder.PrependFloat32, 4)
    offset = "UOffsetTRelative"
    options = table(2, _0=(offset, means), _1=(offset, stds))
    unit = table(2, _0=("Uint8", 1), _1=(offset, options))
    units = vector([unit], builder.PrependUOffsetTRelative, 4)
    name = builder.CreateString("labels.txt")
    file = table(5, _0=(offset, name), _2=("Int8", 2))
    files = vector([file], builder.PrependUOffsetTRelative, 4)
    inputs = vector([table(7, _4=(offset, units))], builder.PrependUOffsetTRelative, 4)
    outputs = vector([table(7, _6=(offset, files))], builder.PrependUOffsetTRelative, 4)
    graph = table(6, _2=(offset, inputs), _3=(offset, outputs))
    graphs = vector([graph], builder.PrependUOffsetTRelative, 4)
    builder.Finish(table(8, _3=(offset, graphs)), file_identifier=b"M001")
    return bytes(builder.Output())


def with_metadata(path, mean, std, labels, own=None) -> bytes:
    """A file with the standard metadata, larq_bcd's if given, and labels behind it as ZIP."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(Path(path).read_bytes()))
    model.metadata = []
    for name, content in {
        b"TFLITE_METADATA": normalization(mean, std),
        b"LARQ_BCD": None if own is None else json.dumps(own).encode(),
    }.items():
        if content is not None:
            buffer, entry = schema.BufferT(), schema.MetadataT()
            buffer.data = np.frombuffer(content, np.uint8)
            entry.name, entry.buffer = name, len(model.buffers)
            model.buffers.append(buffer)
            model.metadata.append(entry)
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("labels.txt", "\n".join(labels))
    return bytes(builder.Output()) + archive.getvalue()


# What is asked of whoever runs a file that does not say how images are prepared for it.
RANGE = ("--range", "-1", "1")


def test_an_image_is_classified(model, tmp_path, capsys):
    paths = []
    for name, color in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        paths.append(str(tmp_path / f"{name}.png"))
        Image.new("RGB", (31, 17), color).save(paths[-1])
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    options = ["--labels", str(tmp_path / "labels.txt"), "--top", "1", *RANGE]
    assert cli.main([model, *paths, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == [paths[0], "red", paths[1], "blue"]


def test_an_image_comes_from_standard_input(model, tmp_path):
    Image.new("RGB", (31, 17), (0, 255, 0)).save(tmp_path / "green.png")
    command = [sys.executable, "-m", "larq_bcd_runtime.cli", model, "-", "--top", "1", *RANGE]
    with open(tmp_path / "green.png", "rb") as green:
        ran = subprocess.run(command, stdin=green, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["-", "78.7%", "1"]
    assert not ran.stderr
    ran = subprocess.run(command, input="no image", capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr == "bcd-run: standard input is not an image that Pillow can read.\n"


def with_output(path, shape):
    """A file that gives the signs of its image, of this shape."""
    file = FlatFile()
    entry, packed = file.tensor(shape), file.tensor((*shape[:-1], 1), np.int32)
    result = file.tensor(shape)
    file.custom("LceQuantize", [entry], [packed])
    file.custom("LceDequantize", [packed], [result])
    path.write_bytes(file.build([entry], [result]))
    return str(path)


@pytest.mark.parametrize("shape", [(1, 4, 6, 3), (1, 1, 2, 3), (1, 1, 1, 1)])
def test_what_does_not_classify_is_told(shape, tmp_path, capsys):
    Image.new("RGB", (6, 4)).save(tmp_path / "black.png")
    path = with_output(tmp_path / "maps.tflite", shape)
    assert cli.main([path, str(tmp_path / "black.png"), *RANGE]) == 1
    said = capsys.readouterr().err
    assert f"of shape {shape} is not one value for each of several classes" in said
    assert "larq_bcd_runtime.Interpreter" in said


def test_an_output_of_a_vector_in_a_map_classifies(tmp_path, capsys):
    Image.new("RGB", (6, 4), (255, 0, 255)).save(tmp_path / "violet.png")
    path = with_output(tmp_path / "vector.tflite", (1, 1, 1, 3))
    assert cli.main([path, str(tmp_path / "violet.png"), "--top", "2", *RANGE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["0", "2"]


def test_python_classifies_as_the_command_does(model, tmp_path):
    own = {"resize": None, "resampling": "bilinear"}
    content = with_metadata(model, [127.5] * 3, [127.5] * 3, ["red", "green", "blue"], own)
    Path(model).write_bytes(content)
    picture = Image.new("RGB", (31, 17), (0, 0, 255))
    picture.save(tmp_path / "blue.png")
    ((name, share), *others) = expected = classify(tmp_path / "blue.png", model)
    assert (name, len(others)) == ("blue", 2)
    assert share == pytest.approx(np.exp(1) / (np.exp(1) + 2 * np.exp(-1)))
    interpreter = Interpreter(model)
    with open(tmp_path / "blue.png", "rb") as opened:
        assert classify(opened, interpreter) == expected
        assert not opened.closed
    assert classify(np.asarray(picture), interpreter, top=1) == expected[:1]
    assert classify(str(tmp_path / "blue.png"), interpreter) == expected


@pytest.mark.parametrize("pixels", [np.zeros((4, 6, 3)), np.zeros((6, 4), np.uint8)])
def test_arrays_that_are_not_images_are_refused(pixels, model):
    content = with_metadata(model, [127.5] * 3, [127.5] * 3, ["r", "g", "b"])
    Path(model).write_bytes(content)
    with pytest.raises(ValueError, match="pass uint8 pixels"):
        classify(pixels, model)


def test_text_sums_up_by_type_and_lists_the_largest(capsys):
    stages = [
        benchmark.StageTime(f"{2 * i} LceQuantize, {2 * i + 1} LceBconv2d", i / 2, i / 400, 1.0)
        for i in range(20)
    ]
    rest = benchmark.StageTime(benchmark.ELSEWHERE, 105.0, 0.525, 0.0)
    stages = [*stages, benchmark.StageTime("40 ADD, 41 PRELU", 5.0, 0.025, 1.0), rest]
    result = benchmark.Benchmark("a.tflite", 1, "avx2", 5, 200.0, 201.0, 199.0, stages)
    assert [row[:3] for row in benchmark.by_kind(stages)] == [
        (benchmark.ELSEWHERE, 1, 105.0),
        ("LceBconv2d", 20, 95.0),
        ("ADD", 1, 5.0),
    ]
    benchmark.show(result, "text")
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith("operators of a stage"))
    assert len(lines[start + 1 :]) == benchmark.LARGEST + 1
    assert lines[-1] == "... and 7 more, with --all"
    benchmark.show(result, "text", every=True)
    lines = capsys.readouterr().out.splitlines()
    assert sum("LceBconv2d" in line for line in lines) == 21


def test_what_litert_says_for_information_is_kept_back(model, tmp_path, capfd):
    with cli._without_information():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"ERROR: something else\n")
    assert capfd.readouterr().err == "ERROR: something else\n"


def test_probabilities_are_a_softmax():
    detail = TensorDetail("logits", (1, 3), np.dtype(np.float32), 0.0, 0)
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32)) + 3
    np.testing.assert_allclose(images.probabilities(logits, detail), [0.7, 0.2, 0.1], rtol=1e-6)


def test_the_benchmark_is_machine_readable(model, capsys):
    assert cli.main([model, "--benchmark", "--runs", "4", "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["runs"] == 4
    assert 0 < row["min_ms"] <= row["median_ms"] <= row["p95_ms"]
    assert cli.main([model, "--benchmark", "--runs", "4", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["model"] for row in rows} == {"color.tflite"}


def test_the_profile_sees_every_operator_that_the_delegate_executes(model, capsys):
    assert cli.main([model, "--benchmark", "--runs", "4", "--format", "json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [stage["operators"] for stage in stages] == [
        "0 LceQuantize",
        "1 LceDequantize",
        "LiteRT's own operators",
    ]
    assert sum(stage["share"] for stage in stages) == pytest.approx(1, abs=1e-3)
    assert [stage["kilobytes"] for stage in stages[:2]] == [0.384, 0.384]


class FakeCamera:
    def __init__(self, colors):
        self._frames = [np.full((10, 14, 3), color, np.uint8) for color in colors]

    def __call__(self):
        yield from self._frames


def test_frames_of_a_camera_are_classified(model, capsys, monkeypatch):
    monkeypatch.setattr(cli.camera, "frames", FakeCamera([(255, 0, 0), (0, 0, 255)]))
    assert cli.main([model, "--camera", "--frames", "2", "--top", "1", *RANGE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["0", "0", "1", "2"]


def test_do_not_wait_for_a_camera_without_its_library(model, capsys, monkeypatch):
    for name in ("picamera2", "cv2"):
        monkeypatch.setitem(sys.modules, name, None)
    assert cli.main([model, "--camera", *RANGE]) == 1
    assert "larq-bcd-runtime[camera]" in capsys.readouterr().err


def test_preprocessing_and_labels_come_from_the_metadata(model, tmp_path, capsys):
    described = tmp_path / "described.tflite"
    described.write_bytes(
        with_metadata(
            model, mean=[255.0, 0.0, 0.0], std=[1.0, 1.0, 2.0], labels=["r", "g", "b"]
        )
    )
    file = Interpreter(described).file
    assert file.preprocessing == images.Preprocessing((255.0, 0.0, 0.0), (1.0, 1.0, 2.0))
    assert file.labels == ("r", "g", "b")
    path = tmp_path / "dark.png"
    Image.new("RGB", (9, 9), (254, 1, 1)).save(path)
    assert cli.main([str(described), str(path), "--top", "2"]) == 0
    # Of 254, 1 and 1 the mean leaves -1, 1 and 0.5.
    labels = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert labels == ["g", "b"]


@pytest.mark.parametrize("cut", [-30, 30])
def test_do_not_take_damaged_metadata(model, tmp_path, cut):
    content = bytearray(with_metadata(model, [0.0], [1.0], ["r", "g", "b"]))
    at = content.index(b"M001") + cut
    content[at : at + 8] = b"\xff" * 8
    with pytest.raises(ModelError, match="damaged"):
        Interpreter(bytes(content))


OWN = {
    "image_size": [4, 6],
    "mean": [0.5],
    "std": [0.5],
    "resize": 8,
    "resampling": "bicubic",
    "encoding": "float32",
}


def test_how_an_image_comes_to_its_size_is_in_the_metadata_of_larq_bcd(model, tmp_path):
    content = with_metadata(model, [127.5], [127.5], ["r", "g", "b"], {"preprocessing": OWN})
    classifier = images.Classifier(Interpreter(content))
    assert classifier.how == images.Preprocessing((127.5,), (127.5,), 8, "bicubic")
    wide = Image.radial_gradient("L").resize((40, 20)).convert("RGB")
    wide.save(tmp_path / "wide.png")
    resized = wide.resize((16, 8), Image.Resampling.BICUBIC)
    expected = np.asarray(resized.crop((5, 2, 11, 6)))
    np.testing.assert_array_equal(classifier.read(tmp_path / "wide.png"), expected)


@pytest.mark.parametrize(
    "change", [{"resize": 3}, {"resize": 10**9}, {"resize": "8"}, {"resampling": "nearest"}]
)
def test_do_not_take_metadata_that_cannot_be_followed(model, change):
    own = {"preprocessing": {**OWN, **change}}
    content = with_metadata(model, [0.0], [1.0], ["r", "g", "b"], own)
    with pytest.raises(ModelError, match="damaged"):
        Interpreter(content)


def test_options_take_the_place_of_the_metadata(model):
    content = with_metadata(model, [0.0], [1.0], ["r", "g", "b"], {"preprocessing": OWN})
    interpreter = Interpreter(content)
    found = images.chosen(interpreter, std=(2.0,), resize=0)
    assert found == images.Preprocessing((0.0,), (2.0,), None, "bicubic")
    found = images.chosen(interpreter, *[(1.0,)] * 2)
    assert found == images.Preprocessing((1.0,), (1.0,), 8, "bicubic")


def test_do_not_normalize_pixels_for_a_file_that_does_it_itself(model):
    own = {"preprocessing": {**OWN, "encoding": "int8"}}
    interpreter = Interpreter(with_metadata(model, [0.0], [255.0], ["r", "g", "b"], own))
    with pytest.raises(ModelError, match="normalizes them itself: leave --mean"):
        images.chosen(interpreter, mean=(1.0,))


@pytest.fixture
def bad_files(tmp_path):
    """A file for everything that may be wrong with one."""
    image = io.BytesIO()
    Image.linear_gradient("L").save(image, "PNG")
    Image.new("RGB", (1000, 9)).save(tmp_path / "line.png")
    Image.new("F", (9, 9)).save(tmp_path / "float.tif")
    Image.new("1", (20000, 20000)).save(tmp_path / "huge.png")
    for name, content in {
        "text.tflite": b"no model",
        "empty.tflite": b"",
        "text.png": b"no image",
        "cut.png": image.getvalue()[:-200],
        "two.txt": b"red\ngreen\n",
        "binary.txt": b"\xff\xfe\x00",
        "nothing.txt": b"",
        "good.png": image.getvalue(),
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("missing.tflite --benchmark", "missing.tflite: No such file"),
        (". --benchmark", "Is a directory"),
        ("text.tflite good.png", "text.tflite: the file is damaged, or no .tflite file"),
        ("empty.tflite good.png", "empty.tflite: the file is damaged, or no .tflite file"),
        ("{model} {range} missing.png", "missing.png: No such file"),
        ("{model} {range} .", "Is a directory"),
        ("{model} {range} text.png", "text.png is not an image that Pillow can read."),
        ("{model} {range} cut.png", "cut.png is a damaged image"),
        ("{model} {range} line.png", "line.png is 1000x9, a line rather than an image."),
        (
            "{model} {range} float.tif",
            "float.tif has pixels of 32 bits: save it with 8 or",
        ),
        ("{model} {range} huge.png", "huge.png has too many pixels: make it smaller."),
        (
            "{model} {range} good.png --labels two.txt",
            "2 labels for 3 classes: give one line",
        ),
        ("{model} {range} good.png --labels nothing.txt", "0 labels for 3 classes"),
        ("{model} {range} good.png --labels missing.txt", "missing.txt: No such file"),
        ("{model} {range} good.png --labels binary.txt", "binary.txt is not text in UTF-8"),
        ("{model} good.png", "not say how images are prepared for it: give --mean and --std"),
        ("{model} good.png --mean 0.5", "not say how images are prepared for it: give --mean"),
        ("{model} {range} good.png --resize 5", "--resize is 5, and has to be 0"),
        ("{model} {range} good.png --resize 20000", "or from 6 to 16384"),
    ],
)
def test_an_error_is_one_line(model, bad_files, arguments, reason, capsys, monkeypatch):
    monkeypatch.chdir(bad_files)
    assert cli.main(arguments.format(model=model, range=" ".join(RANGE)).split()) == 1
    (error,) = [e for e in capsys.readouterr().err.splitlines() if "XNNPACK" not in e]
    assert error.startswith("bcd-run: ")
    assert reason in error


def test_an_image_that_cannot_be_read_does_not_keep_others(
    model, bad_files, capsys, monkeypatch
):
    monkeypatch.chdir(bad_files)
    assert cli.main([model, "text.png", "good.png", "--top", "1", *RANGE]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "good.png"
    assert "text.png" in printed.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--benchmark --threads 0", "--threads is 0"),
        ("--benchmark --threads 65", "--threads is 65"),
        ("--benchmark --runs 0", "--runs is 0"),
        ("a.png --top 0", "--top is 0"),
        ("a.png --range 1 1", "--range is 1.0 1.0"),
        ("a.png --frames 2", "--frames goes with --camera only"),
        ("a.png --runs 2", "--runs goes with --benchmark only"),
        ("--camera --format csv", "--format goes with --benchmark only"),
        ("a.png --range nan 1", "--range is nan 1.0"),
        ("a.png --range 0 1 --mean 0.5", "give either"),
        ("a.png --mean a,b", "'a,b' are not numbers"),
        ("a.png --std 1,0", "has to be above 0"),
        ("a.png --range 0 1e-320", "--range is 0.0 1e-320"),
        ("a.png --range 1e38 2e38", "--range is 1e+38 2e+38"),
    ],
)
def test_do_not_accept_an_argument(model, arguments, reason, capsys):
    with pytest.raises(SystemExit):
        cli.main([model, *arguments.split()])
    assert reason in capsys.readouterr().err


def test_an_image_of_broken_exif_data_is_read_without_a_warning(model, tmp_path):
    # One entry is announced, and none is there.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0"
    image = tmp_path / "image.jpg"
    Image.new("RGB", (8, 8)).save(image, exif=exif)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert cli.main([model, str(image), *RANGE]) == 0
    assert seen == []


def test_a_reader_that_has_seen_enough_is_not_an_error(model):
    read, write = os.pipe()
    os.close(read)
    command = [
        sys.executable,
        "-m",
        "larq_bcd_runtime.cli",
        model,
        "--benchmark",
        "--runs",
        "1",
    ]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "XNNPACK" not in line] == []


def test_a_photograph_is_turned_upright(model, tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    (detail,) = Interpreter(model).input_details
    read = images.read_image(tmp_path / "turned.png", detail)
    np.testing.assert_array_equal(read, pixels[::-1])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_16_bits_the_upper_half_counts(model, tmp_path, suffix):
    gray = np.arange(24, dtype=np.uint16).reshape(4, 6) << 11
    Image.fromarray(gray).save(tmp_path / f"gray.{suffix}")
    (detail,) = Interpreter(model).input_details
    read = images.read_image(tmp_path / f"gray.{suffix}", detail)
    np.testing.assert_array_equal(read, np.repeat(gray[..., None] >> 8, 3, axis=2))


def test_labels_may_begin_with_a_byte_order_mark(model, tmp_path, capsys):
    path, labels = tmp_path / "red.png", tmp_path / "labels.txt"
    Image.new("RGB", (9, 9), (255, 0, 0)).save(path)
    labels.write_text("red\ngreen\nblue\n", encoding="utf-8-sig")
    options = ["--labels", str(labels), "--top", "1", *RANGE]
    assert cli.main([model, str(path), *options]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "red"


def test_do_not_print_what_is_not_a_number(model, tmp_path, capsys, monkeypatch):
    path = tmp_path / "gray.png"
    Image.new("RGB", (9, 9)).save(path)
    nothing = np.full((1, 3), np.nan, np.float32)
    monkeypatch.setattr(Interpreter, "predict", lambda interpreter, batch: nothing)
    assert cli.main([model, str(path), *RANGE]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "the outputs are not finite numbers" in printed.err


def test_a_file_may_be_tried_in_a_process_of_its_own(model, tmp_path, capsys, monkeypatch):
    path = str(tmp_path / "gray.png")
    Image.new("RGB", (6, 4), (9, 9, 9)).save(path)
    assert cli.main([model, path, "--trial", *RANGE]) == 0
    killed = subprocess.CompletedProcess([], -signal.SIGSEGV)
    monkeypatch.setattr(subprocess, "run", lambda *command, **how: killed)
    assert cli.main([model, path, "--trial", *RANGE]) == 1
    assert "LiteRT crashes on the file (SIGSEGV)" in capsys.readouterr().err


def test_do_not_guess_between_images_and_a_benchmark(model):
    for arguments in ([model], [model, "a.png", "--benchmark"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
