"""The command bcd-run."""

import csv
import io
import json

import numpy as np
import pytest
from flatfile import FlatFile, schema
from PIL import Image

from larq_bcd_runtime import cli


@pytest.fixture
def model(tmp_path):
    """Adds up the signs of each channel of a 4x6 image: its output is its colour."""
    file = FlatFile()
    entry, packed = file.tensor((1, 4, 6, 3)), file.tensor((1, 4, 6, 1), np.int32)
    signs, result = file.tensor((1, 4, 6, 3)), file.tensor((1, 3))
    file.custom("LceQuantize", [entry], [packed])
    file.custom("LceDequantize", [packed], [signs])
    options = schema.ReducerOptionsT()
    options.keepDims = False
    axes = file.constant(np.array([1, 2], np.int32))
    file.builtin("MEAN", [signs, axes], [result], schema.BuiltinOptions.ReducerOptions, options)
    path = tmp_path / "colour.tflite"
    path.write_bytes(file.build([entry], [result]))
    return str(path)


def test_an_image_is_classified(model, tmp_path, capsys):
    paths = []
    for name, colour in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        paths.append(str(tmp_path / f"{name}.png"))
        Image.new("RGB", (31, 17), colour).save(paths[-1])
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    assert (
        cli.main([model, *paths, "--labels", str(tmp_path / "labels.txt"), "--top", "1"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == [paths[0], "red", paths[1], "blue"]


def test_probabilities_are_a_softmax():
    detail = cli.TensorDetail("logits", (1, 3), np.dtype(np.float32), 0.0, 0)
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32)) + 3
    np.testing.assert_allclose(cli.probabilities(logits, detail), [0.7, 0.2, 0.1], rtol=1e-6)


def test_the_benchmark_is_machine_readable(model, capsys):
    assert cli.main([model, "--benchmark", "--runs", "4", "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["runs"] == 4
    assert 0 < row["min_ms"] <= row["median_ms"] <= row["p95_ms"]
    assert cli.main([model, "--benchmark", "--runs", "4", "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["model"] == "colour.tflite"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.tflite", "--benchmark"], "missing.tflite"),
        (["{model}", "missing.png"], "missing.png"),
        (["{model}", "--benchmark", "--threads", "0"], "num_threads is '0'"),
    ],
)
def test_an_error_is_one_line(model, arguments, reason, capsys):
    assert cli.main([argument.format(model=model) for argument in arguments]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("bcd-run: ")
    assert reason in error


def test_do_not_guess_between_images_and_a_benchmark(model):
    for arguments in ([model], [model, "a.png", "--benchmark"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
