import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize
from larq_compute_engine.tflite.python.interpreter import Interpreter

from larq_bcd.commands import lce_convert as cli
from larq_bcd.commands.main import lce_convert
from larq_bcd.convert import ConversionError
from larq_bcd.convert.check.forced import ForcedGraph
from larq_bcd.models import ReActNetA, registry
from larq_bcd.tflite.metadata import read_metadata

layers = tf.keras.layers
PROGRAM = "import sys\nfrom larq_bcd.commands.main import lce_convert\nsys.exit(lce_convert())"
COMMAND = [sys.executable, "-c", PROGRAM]


@pytest.fixture(scope="module")
def fallback_file(tmp_path_factory):
    image = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1, name="stem")(image)
    x = binary_conv(pad_values=-1.0, name="minus")(x)
    x = binary_conv(input_quantizer=None, name="real")(layers.PReLU()(x))
    path = tmp_path_factory.mktemp("fallback") / "fallback.keras"
    randomize(tf.keras.Model(image, x)).save(path)
    return path


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Runs the command in an empty folder: its status, stdout and stderr."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def main(*arguments):
        capfd.readouterr()
        status = lce_convert([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return main


def test_a_model_is_converted_reported_checked_and_written(run, small, small_file):
    status, out, err = run(small_file, "-o", "small.tflite", "--report", "small.json")
    assert (status, err) == (0, "")
    assert sorted(os.listdir()) == ["small.json", "small.tflite"]
    for words in (
        "image [1, 12, 12, 3] float32",
        "logits [1, 5] float32",
        "times smaller than",
        "2 binary, 2 float",
        "fc and fc_dist are merged into logits",
        "8 inputs (noise): outputs differ by at most",
        "same arg-max on 8 of 8",
        "computes what the model computes",
        "wrote small.tflite",
    ):
        assert words in out
    report = json.loads(Path("small.json").read_text())
    assert report["file_bytes"] == os.path.getsize("small.tflite")
    assert report["binary_layers"] == 2
    assert report["check"]["verdict"] in ("equal", "equal but for flips")
    assert [layer["operator"] for layer in report["layers"]] == [
        "CONV_2D",
        "LceBconv2d",
        "LceBconv2d",
        "FULLY_CONNECTED",
    ]
    x = np.random.default_rng(1).normal(size=(1, 12, 12, 3)).astype("f")
    written = Interpreter(Path("small.tflite").read_bytes()).predict(x)
    np.testing.assert_allclose(written, small(x), atol=1e-3)


def test_the_steps_are_shown_while_they_run(run, small_file):
    _, out, _ = run(small_file, "-o", "small.tflite")
    steps = ["load", "merge the heads", "convert", "optimize", "check", "write"]
    positions = [out.index(f"[{i}/6] {step} ...") for i, step in enumerate(steps, start=1)]
    assert positions == sorted(positions)


def test_a_float_fallback_is_an_error_with_a_line_for_each_layer(run, fallback_file):
    status, out, err = run(fallback_file, "-o", "out.tflite", "--report", "report.json")
    assert status == 1
    first, *lines = err.strip().splitlines()
    assert "--allow-float-fallback" in first
    assert [line.split(":")[0] for line in lines] == ["  minus", "  real"]
    assert "pad_values=-1" in lines[0]
    assert "only the kernel is quantized" in lines[1]
    assert "minus trains as binary: pad_values" in out
    assert os.listdir() == ["report.json"]
    assert json.loads(Path("report.json").read_text())["float_fallbacks"] == ["minus", "real"]


def test_the_page_of_a_refused_conversion_begins_with_the_reason(run, fallback_file):
    status, _, err = run(fallback_file, "-o", "out.tflite", "--report", "report.html")
    assert status == 1
    page = Path("report.html").read_text()
    reason = err.strip().splitlines()[0].partition("error: ")[2]
    assert f"Not written: {reason}" in page
    assert page.index("Not written") < page.index("<dl>")
    status, *_ = run(
        fallback_file, "-o", "out.tflite", "--allow-float-fallback", "--report", "ok.html"
    )
    assert status == 0
    assert "Not written" not in Path("ok.html").read_text()


def test_a_float_fallback_can_be_allowed(run, fallback_file):
    status, _, err = run(fallback_file, "-o", "out.tflite", "--allow-float-fallback")
    assert (status, err) == (0, "")
    assert os.listdir() == ["out.tflite"]


def test_a_fault_is_not_written(run, small_file, doubled_kernels):
    status, out, err = run(small_file, "-o", "small.tflite")
    assert status == 1
    assert "does not compute what the model computes" in err
    assert "first: the values before its sign differ" in err
    assert "FAULT" in out
    assert os.listdir() == []


@pytest.fixture
def doubled_kernels(monkeypatch):
    """Keras gives other values than the file, as if the file were wrong."""
    sound = ForcedGraph.run
    monkeypatch.setattr(
        ForcedGraph,
        "run",
        lambda self, *arguments: [1.001 * value for value in sound(self, *arguments)],
    )


def _check_of(path):
    return read_metadata(Path(path).read_bytes()).origin["check"]


def test_a_wider_tolerance_is_told_and_kept(run, small_file, doubled_kernels):
    assert run(small_file, "-o", "small.tflite")[0] == 1
    status, out, _ = run(small_file, "-o", "small.tflite", "--check-tolerance", "1000")
    assert status == 0
    assert "tolerances are multiplied by 1000" in out
    assert _check_of("small.tflite")["tolerance_factor"] == 1000


def test_a_check_that_is_left_out_is_told_and_kept(run, small_file, doubled_kernels):
    status, out, _ = run(small_file, "-o", "small.tflite", "--no-check")
    assert status == 0
    assert "not checked: whether it computes what the model does is not known" in out
    assert "[5/5] write" in out
    assert _check_of("small.tflite") == {"verdict": "not checked"}


@pytest.mark.parametrize("factor", ["0", "-1", "inf", "nan", "wide"])
def test_a_factor_is_a_positive_number(run, small_file, factor):
    status, _, err = run(small_file, "-o", "small.tflite", "--check-tolerance", factor)
    assert status == 2
    assert "--check-tolerance" in err


def _save_images(images, folder):
    for i, image in enumerate(images):
        PIL.Image.fromarray(image).save(folder / f"{i}.png")


def test_images_are_used_for_the_check(run, small_file, tmp_path, rng):
    _save_images(rng.integers(0, 256, (3, 30, 40, 3), np.uint8), tmp_path)
    options = ["--check-inputs", tmp_path, "--check-count", 2, "--mean", 0.5, "--std", 0.25]
    status, out, _ = run(small_file, "-o", "small.tflite", *options)
    assert status == 0
    assert f"2 inputs (images in {tmp_path})" in out


def test_a_stem_of_int8_is_calibrated_on_images_or_arrays(run, small_file, tmp_path, rng):
    images = rng.integers(0, 256, (5, 12, 12, 3), np.uint8)
    _save_images(images, tmp_path)
    pixels = ["--mean", 0.5, "--std", 0.25, "--input-type", "uint8"]
    rounded = ["--stem", "int8", "--head", "int8", "--calibrate", tmp_path]
    status, out, _ = run(small_file, "-o", "a.tflite", *pixels, *rounded)
    assert status == 0
    assert "[6/7] round the stem and the head:" in out
    words = "rounding int8 stem and int8 head, on the inputs of the calibration: outputs differ"
    assert words in out
    assert run(small_file, "-o", "plain.tflite", *pixels)[0] == 0
    files = [Interpreter(Path(name).read_bytes()) for name in ("a.tflite", "plain.tflite")]
    classes = [file.predict(images).argmax(-1) for file in files]
    same = np.count_nonzero(classes[0] == classes[1])
    assert f"same arg-max on {same} of 5\n[7/7]" in out
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 12, 12, 3)))
    arrays = ["--calibrate", tmp_path / "x.npy", "--report", "b.json"]
    assert run(small_file, "-o", "b.tflite", "--stem", "int8", *arrays)[0] == 0
    rounding = json.loads(Path("b.json").read_text())["rounding"]
    assert rounding["change"] == "int8 stem, on the inputs of the calibration"
    assert rounding["inputs"] == 3
    assert files[0].input_types == [np.uint8]
    assert Interpreter(Path("b.tflite").read_bytes()).input_types == [np.float32]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stem", "int8"], "give images, --calibrate FOLDER"),
        (["--calibrate", "photos"], "give --stem int8 too, or leave it out"),
        (["--head", "int8", "--calibrate", "photos"], "give --stem int8 too, or leave it out"),
        (["--stem", "int8", "--calibrate", "photos"], "calibrate photos is not a folder"),
        (["--stem", "int4"], "invalid choice: 'int4'"),
    ],
)
def test_a_stem_and_its_calibration_need_each_other(run, small_file, options, message):
    status, _, err = run(small_file, "-o", "small.tflite", *options)
    assert (status, os.listdir()) == (2, [])
    assert message in err


def test_arrays_by_name_are_used_for_the_check_and_open_shapes_are_fixed(run, tmp_path):
    image, scale = (
        tf.keras.Input((None, 4, 3), name="image"),
        tf.keras.Input((3,), name="scale"),
    )
    mean = layers.GlobalAveragePooling2D()(image)
    path = _save(tmp_path / "m.keras", [image, scale], layers.Multiply()([mean, scale]))
    np.savez(tmp_path / "x.npz", image=np.ones((3, 8, 4, 3)), scale=np.ones((3, 3)))
    options = ["--check-inputs", tmp_path / "x.npz", "--input-shape", "image=1,8,4,3"]
    status, out, _ = run(path, "-o", "m.tflite", *options)
    assert status == 0
    assert "inputs   image [1, 8, 4, 3] float32, scale [1, 3] float32" in out
    assert f"3 inputs ({tmp_path / 'x.npz'})" in out
    status, _, err = run(path, "-o", "n.tflite", "--input-shape", "1,8,4,3")
    assert status == 2
    assert "2 inputs (image, scale): say which, image=1,8,4,3" in err


def test_an_existing_file_needs_force(run, small_file):
    Path("small.tflite").write_text("old")
    status, out, err = run(small_file, "-o", "small.tflite")
    assert (status, out) == (2, "")
    assert "small.tflite exists" in err
    assert "--force" in err
    assert Path("small.tflite").read_text() == "old"
    assert run(small_file, "-o", "small.tflite", "--force")[0] == 0
    assert Path("small.tflite").read_bytes()[4:8] == b"TFL3"


def test_a_name_is_built_and_its_weights_are_said_to_be_random(run, monkeypatch):
    def tiny():
        return ReActNetA(input_shape=(32, 32, 3), width=0.25, pad_values=1.0)

    info = dataclasses.replace(registry.model_info("ReActNetA"), name="Tiny", build=tiny)
    monkeypatch.setitem(registry._MODELS, "Tiny", info)
    status, out, err = run("Tiny", "-o", "tiny.tflite", "--check-count", 1)
    assert (status, err) == (0, "")
    assert "the weights are random" in out


def _save(path, inputs, output):
    tf.keras.Model(inputs, output).save(path)
    return path


@pytest.fixture
def bad(request, tmp_path, small, small_file):
    """Arguments that are at fault, by the name of the fault."""
    image = tf.keras.Input((4, 4, 3))
    match request.param:
        case "wrong path":
            return ["missing.keras", "-o", "out.tflite"]
        case "not a model":
            (tmp_path / "text.h5").write_text("hello")
            return [tmp_path / "text.h5", "-o", "out.tflite"]
        case "weights":
            small.save_weights(tmp_path / "weights.h5")
            return [tmp_path / "weights.h5", "-o", "out.tflite"]
        case "dynamic height":
            image = tf.keras.Input((None, 4, 3), name="image")
            path = _save(tmp_path / "m.keras", image, layers.ReLU()(image))
            return [path, "-o", "out.tflite"]
        case "no shape":
            return [small_file, "-o", "out.tflite", "--input-shape", "image=1,big,big,3"]
        case "shape of nothing":
            return [small_file, "-o", "out.tflite", "--input-shape", "imagee=1,12,12,3"]
        case "lambda":
            path = _save(tmp_path / "m.h5", image, layers.Lambda(lambda x: x + 1)(image))
            return [path, "-o", "out.tflite"]
        case "folder is missing":
            return [small_file, "-o", "missing/out.tflite"]
        case "folder is not writable":
            return [small_file, "-o", "/proc/out.tflite"]
        case "report is the output":
            return [small_file, "-o", "out.tflite", "--report", "./out.tflite"]
        case "no images":
            return [small_file, "-o", "out.tflite", "--check-inputs", tmp_path]
        case "no count":
            return [small_file, "-o", "out.tflite", "--check-count", "0"]
        case "mean":
            return [small_file, "-o", "out.tflite", "--mean", "1,2"]
        case "mean in words":
            return [small_file, "-o", "out.tflite", "--mean", "a,b"]
        case "import":
            return [small_file, "-o", "out.tflite", "--import", "missing_module"]
        case "no output":
            return [small_file]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("wrong path", "missing.keras does not exist"),
        ("not a model", "not a Keras model"),
        ("weights", "weights only"),
        ("dynamic height", "such as --input-shape image=1,224,4,3"),
        ("no shape", "not a shape such as 1,224,224,3"),
        ("shape of nothing", "no input 'imagee', did you mean 'image'?"),
        ("lambda", "--trust-code"),
        ("folder is missing", "create it"),
        ("folder is not writable", "cannot be written"),
        ("report is the output", "name two files"),
        ("no images", "holds no images"),
        ("no count", "0 is below 1"),
        ("mean", "3 channels"),
        ("mean in words", "'a,b' are not numbers"),
        ("import", "missing_module"),
        ("no output", "-o/--output"),
    ],
    indirect=["bad"],
)
def test_a_fault_of_the_user_is_one_line_and_status_2(run, bad, words):
    status, _, err = run(*bad)
    assert status == 2
    assert err.startswith("lce_convert: error: ")
    assert err.count("\n") == 1
    assert words in err
    assert os.listdir() == []


def test_a_module_that_registers_a_layer_can_be_imported(run, monkeypatch):
    source = (
        "import tensorflow as tf\n"
        "@tf.keras.utils.register_keras_serializable('mine')\n"
        "class Doubled(tf.keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return 2 * x\n"
    )
    Path("my_layers.py").write_text(source)
    monkeypatch.syspath_prepend(os.getcwd())
    import my_layers

    image = tf.keras.Input((4, 4, 3))
    _save("m.keras", image, my_layers.Doubled()(image))
    del sys.modules["my_layers"]
    tf.keras.utils.get_custom_objects().pop("mine>Doubled")
    status, _, err = run("m.keras", "-o", "out.tflite")
    assert status == 2
    assert "'Doubled'" in err
    assert "--import my_layers" in err
    assert run("m.keras", "-o", "out.tflite", "--import", "my_layers")[0] == 0


def test_trusted_code_is_converted(run):
    image = tf.keras.Input((4, 4, 3))
    _save("m.keras", image, layers.Lambda(lambda x: x + 1)(image))
    assert run("m.keras", "-o", "out.tflite", "--trust-code")[0] == 0


def _start(arguments, folder, scratch):
    scratch.mkdir()
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell ignores it in what it starts in the background, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize(
    ("step", "number", "status"),
    [
        ("[1/6] load ...", signal.SIGINT, 130),
        ("[3/6] convert ...", signal.SIGINT, 130),
        ("[5/6] check ...", signal.SIGINT, 130),
        ("[3/6] convert ...", signal.SIGTERM, 143),
    ],
)
def test_an_interrupt_leaves_nothing_behind(small_file, tmp_path, step, number, status):
    folder, scratch = tmp_path / "folder", tmp_path / "scratch"
    folder.mkdir()
    arguments = [small_file, "-o", "out.tflite", "--check-count", "100000"]
    process = _start(arguments, folder, scratch)
    for line in process.stdout:
        if line.startswith(step):
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert err.count("\n") == 1
    assert "nothing is written" in err
    assert os.listdir(folder) == []
    assert os.listdir(scratch) == []


@pytest.mark.usefixtures("interrupts_raise")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_of_which_foreign_code_makes_another_error(
    small_file, tmp_path, monkeypatch, capsys, number, status
):
    def load(*arguments, **options):
        try:
            signal.raise_signal(number)
        except BaseException as error:
            raise ConversionError("the file is damaged") from error

    monkeypatch.setattr(cli, "load", load)
    assert lce_convert([str(small_file), "-o", str(tmp_path / "out.tflite")]) == status
    assert "ted, nothing is written" in capsys.readouterr().err


@pytest.mark.usefixtures("interrupts_raise")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("step", ["load", "convert", "advance", "print_report"])
def test_an_interrupt_that_foreign_code_loses(
    small_file, tmp_path, monkeypatch, capsys, step, number, status
):
    owner = cli._VisibleProgress if step == "advance" else cli
    original = getattr(owner, step)
    calls = 0

    def losing(*arguments, **options):
        nonlocal calls
        calls += 1
        with contextlib.suppress(BaseException):
            signal.raise_signal(number)
        return original(*arguments, **options)

    monkeypatch.setattr(owner, step, losing)
    arguments = ["-o", str(tmp_path / "out.tflite"), "--report", str(tmp_path / "report.json")]
    assert lce_convert([str(small_file), *arguments]) == status
    out, err = capsys.readouterr()
    assert calls == 1
    assert step != "load" or "[2/6]" not in out
    assert "ted, nothing is written" in err
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("interrupts_raise")
def test_what_an_interrupt_finds_in_writing_is_written(run, small_file, monkeypatch):
    original = cli.write_atomically

    def write(*arguments):
        signal.raise_signal(signal.SIGINT)
        original(*arguments)

    monkeypatch.setattr(cli, "write_atomically", write)
    status, out, err = run(small_file, "-o", "out.tflite", "--report", "report.json")
    assert (status, err) == (0, "")
    assert "wrote out.tflite" in out
    assert sorted(os.listdir()) == ["out.tflite", "report.json"]


def test_the_command_itself_works_and_keeps_stderr_clean(small_file, tmp_path):
    process = _start([small_file, "-o", "out.tflite"], tmp_path, tmp_path / "scratch")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "wrote out.tflite" in out
    assert os.path.getsize(tmp_path / "out.tflite") > 0


def test_help_has_examples_and_the_exit_statuses(capsys):
    assert lce_convert(["--help"]) == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "130" in out
