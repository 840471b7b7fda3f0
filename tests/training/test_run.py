"""Whole trainings as processes of their own, on images and networks of the test."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import images
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

RUN = Path(__file__).parent / "tiny_run.py"
ROOT = RUN.parents[2]
# 7 steps and 8, the first of them in epochs of 4 and 3.
RECIPE = """
network: TinyDropout
data: {{name: {data}, train: train, validation: test}}
preprocessing: {{image_size: [8, 8], resize: null}}
batch_size: 8
checkpoint_every: 2
teacher: {{stage: step1}}
stages:
  - name: step1
    network: TinyA
    binary: activations
    iterations: 7
    optimizer: {{weight_decay: 0.01}}
    schedule: {{start: 0.001, peak: 0.01, warm_up: 3}}
    loss: {{label_smoothing: 0.1}}
    augmentation: {{pad_crop: 1, horizontal_flip: true}}
  - name: step2
    binary: all
    epochs: 2
    schedule: {{peak: 0.01}}
    loss: {{label_smoothing: 0.1, distillation: 0.5}}
    augmentation: {{mixup: 0.2}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 4)):
        for name in ("cat", "dog"):
            of_class = folder / split / name
            of_class.mkdir(parents=True)
            for number in range(count):
                picture = images.encoded(images.random_image(rng, 8, 8))
                (of_class / f"{number}.png").write_bytes(picture)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(data=folder))
    return path


def start(recipe, output, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, str(RUN), "train", str(recipe), *arguments, "--output", str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process, status=0):
    printed, _ = process.communicate(timeout=540)
    assert process.returncode == status, printed[-3000:]
    assert "\b" not in printed  # a bar that is drawn over again is garbage in a log
    return printed


def weights(output, stage):
    found = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(output / stage / "last.weights.h5") as file:
        file.visititems(collect)
    assert found
    return found


STAGES = ("stage1_step1", "stage2_step2")


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    finished(start(recipe, output))
    return output


def test_a_killed_and_restarted_run_has_bit_identical_weights(recipe, uninterrupted, tmp_path):
    """Killed once in the first stage, and once more on the way over the stage boundary.

    In between, the run and its images move to another place.
    """
    output = tmp_path / "killed"
    first = random.randint(1, 6)
    finished(start(recipe, output, KILL_AT_STEP=str(first)), -signal.SIGKILL)
    # At least to the second stage: 7 steps more than the checkpoint has.
    second = random.randint(8, 9)
    output = output.rename(tmp_path / "moved")
    images_too = f"data.name={shutil.copytree(recipe.parent, tmp_path / 'images')}"
    finished(start(recipe, output, images_too, KILL_AT_STEP=str(second)), -signal.SIGKILL)
    finished(start(recipe, output, images_too))
    for stage in STAGES:
        ours, theirs = weights(output, stage), weights(uninterrupted, stage)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            np.testing.assert_array_equal(value, theirs[name], f"{first}, {second}: {name}")
        history = Path(stage) / "history.csv"
        assert (output / history).read_text() == (uninterrupted / history).read_text()


def test_a_run_leaves_its_network_its_figures_and_its_curves(uninterrupted):
    results = json.loads((uninterrupted / "results.json").read_text())
    assert [stage["iterations"] for stage in results["stages"]] == [7, 8]
    assert results["cost"]["bops"] > 0
    assert results["cost"]["ops"] == results["cost"]["bops"] / 64 + results["cost"]["flops"]
    for stage in STAGES:
        summary = json.loads((uninterrupted / stage / "summary.json").read_text())
        assert summary["last"]["val_accuracy"] <= summary["best"]["val_accuracy"]
        board = EventAccumulator(str(uninterrupted / stage / "tensorboard"))
        tags = board.Reload().Tags()
        curves = {"loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"}
        assert curves <= set(tags["tensors"])
        assert ("flip_ratio" in tags["tensors"]) == (stage == STAGES[1])
        histograms = [tag for tag in tags["tensors"] if tag.startswith("thresholds/")]
        assert len(histograms) == 3, "a 3x3 and a 1x1 convolution, and an MLP"
        for tag in (*histograms, "loss"):
            assert [event.step for event in board.Tensors(tag)][-1] == summary["iterations"]
        assert (uninterrupted / stage / "best.weights.h5").exists()
    header = (uninterrupted / STAGES[1] / "history.csv").read_text().splitlines()[0]
    for column in ("loss", "accuracy", "learning_rate", "flip_ratio", "val_accuracy"):
        assert column in header.split(",")
    assert (uninterrupted / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (uninterrupted / "model.keras").stat().st_size > 0


def test_a_run_that_is_asked_to_stop_keeps_its_step(recipe, tmp_path):
    output = tmp_path / "stopped"
    environment = {"KILL_AT_STEP": "2", "KILL_BY": "SIGTERM"}
    printed = finished(start(recipe, output, **environment), 128 + signal.SIGTERM)
    assert "The same command goes on from here" in printed
    assert (output / "checkpoints" / "step-000000003").is_dir()
    printed = finished(start(recipe, output, "batch_size=4"), 2)
    assert "holds a training of another recipe, which differs in batch_size" in printed
    others = shutil.copytree(recipe.parent, tmp_path / "others")
    (others / "train" / "cat" / "0.png").rename(others / "train" / "cat" / "new.png")
    printed = finished(start(recipe, output, f"data.name={others}"), 2)
    assert "are not those with which the training in" in printed


SHORT = """
network: TinyA
data: {{name: {data}, train: train, validation: test}}
preprocessing: {{image_size: [8, 8], resize: null}}
batch_size: 32
teacher: {teacher}
stages:
  - name: only
    binary: all
    epochs: 1
    schedule: {{peak: 0.01, warm_up: 200}}
    loss: {{distillation: 0.5}}
    augmentation: {{horizontal_flip: true, mixup: 0.2}}
"""


@pytest.fixture
def short(tmp_path, uninterrupted):
    """A recipe of 256 images, of which one is broken, and a teacher that was trained before."""
    folder = images.write_folder(
        tmp_path / "data",
        {"train": {"cat": 128, "dog": 128}, "test": {"cat": 4, "dog": 4}},
    )
    (folder / "train" / "dog" / "00200.png").write_bytes(b"<html>404</html>")
    path = tmp_path / "short.yaml"
    path.write_text(SHORT.format(data=folder, teacher=uninterrupted / "model.keras"))
    return path


def test_a_dry_run_says_what_would_happen_and_trains_nothing(short, tmp_path):
    output = tmp_path / "dry"
    printed = finished(start(short, output, "--dry-run"))
    for line in (
        "batch_size: 32",
        "training: 256 images, split 'train'",
        "validation: 8 images, split 'test'",
        "classes: 2, cat, dog",
        "stage only: TinyA, binary: all; 8 steps of 32 images (8 of warm-up), epochs of 8;",
        "Building the teacher, ",
        f"{output}/first_batch.png: 32 augmented images of the first batch; nothing is",
    ):
        assert line in printed
    assert [path.name for path in output.iterdir()] == ["first_batch.png"]
    with Image.open(output / "first_batch.png") as sheet:
        assert sheet.width > 6 * 90
    printed = finished(start(short, output, "--dry-run", "stages.0.start.file=nope.keras"), 2)
    assert "stages.0.start: " in printed
    assert "'nope.keras' is neither a file nor" in printed


def test_what_a_later_stage_starts_from_is_looked_at_first(recipe, tmp_path):
    output = tmp_path / "later"
    printed = finished(start(recipe, output, "stages.1.start.file=nope.keras"), 2)
    assert "'nope.keras' is neither a file nor" in printed
    assert "Stage 1" not in printed
    swapped = ["stages.0.network=TinyDropout", "network=TinyA"]
    for settings in (swapped, [*swapped, "--dry-run"]):
        printed = finished(start(recipe, output, *settings), 2)
        assert "stages.1.start: the weights of " in printed
        assert "is missing in the source" in printed
        assert "start: random" in printed
        assert "Stage 1" not in printed


def test_a_finished_run_goes_on_longer_and_without_its_broken_images(short, tmp_path):
    output = tmp_path / "short"
    printed = finished(start(short, output))
    assert "Warning: stages.0.schedule.warm_up=200 takes 8 of the 8 iterations" in printed
    order = ["Building the teacher", "Stage 1 of 1", "Tracing the network, once", "8/8"]
    assert sorted(order, key=printed.index) == order
    (broken,) = re.findall(r"skipped a broken image.*: (/\S+\.png)", printed)
    Path(broken).unlink()
    printed = finished(start(short, output, "stages.0.epochs=2"))
    assert "stages.0.epochs: from step 8 of stages.0 on, the learning rate is that" in printed
    assert "Broken images are gone, 1; all others keep their places." in printed
    results = json.loads((output / "results.json").read_text())
    assert [stage["iterations"] for stage in results["stages"]] == [16]
    rows = (output / "stage1_only" / "history.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["1", "8"], ["2", "16"]]
    printed = finished(start(short, output), 2)
    assert "stages.0 has made 16 steps" in printed
    assert "whose first stage may start from {file: " in printed
    Path(broken).with_name("00201.png").unlink()
    printed = finished(start(short, output, "stages.0.epochs=3"), 2)
    assert "are not those with which the training in" in printed


def test_a_run_that_failed_before_its_first_step_is_mended_in_its_folder(short, tmp_path):
    output = tmp_path / "short"
    size = "preprocessing.image_size=[16, 16]"
    printed = finished(start(short, output, size), 2)
    assert "takes images of (8, 8, 3), but the recipe makes (16, 16, 3)" in printed
    assert "Stage 1" not in printed
    assert "Stage 1 of 1" in finished(start(short, output))


def test_what_is_left_of_a_run_without_its_checkpoints_is_not_overwritten(short, tmp_path):
    output = tmp_path / "short"
    finished(start(short, output, "preprocessing.image_size=[16, 16]"), 2)
    for kept in ("results.json", "stage1_all/last.weights.h5"):
        path = output / kept
        path.parent.mkdir(exist_ok=True)
        path.touch()
        printed = finished(start(short, output), 2)
        assert "training of another recipe, which differs in preprocessing.image" in printed
        path.unlink()


def test_mixed_precision_leaves_a_float32_network(recipe, tmp_path):
    output = tmp_path / "mixed"
    printed = finished(start(recipe, output, "precision=mixed_bfloat16"))
    assert "nan" not in printed
    for stage in STAGES:
        for value in weights(output, stage).values():
            assert value.dtype != np.float16
            assert np.isfinite(value).all()
    with zipfile.ZipFile(output / "model.keras") as archive:
        config = archive.read("config.json").decode()
    assert '"float32"' in config
    assert "bfloat16" not in config


def same_to(output, other, tolerance):
    for stage in STAGES:
        ours, theirs = weights(output, stage), weights(other, stage)
        for name, value in ours.items():
            np.testing.assert_allclose(value, theirs[name], atol=tolerance, rtol=0)


# AdamW in the first stage; SGD in the second, where the offsets before batch norms have
# gradients of rounding alone, which AdamW would enlarge (see the test of that).
DISTRIBUTED = ("network=TinyB", "stages.1.optimizer.name=sgd")


@pytest.fixture(scope="module")
def one_process(recipe, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "one"
    finished(start(recipe, output, *DISTRIBUTED))
    return output


def test_two_devices_train_the_weights_of_one(recipe, one_process, tmp_path):
    output = tmp_path / "mirrored"
    arguments = (*DISTRIBUTED, "--strategy", "mirrored")
    finished(start(recipe, output, *arguments, CPU_DEVICES="2"))
    same_to(output, one_process, 1e-5)


def start_workers(recipe, output, dies_at=0):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    ports = [entry.getsockname()[1] for entry in sockets]
    for entry in sockets:
        entry.close()
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    processes = []
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(config)}
        if dies_at and index == 1:
            environment["KILL_AT_STEP"] = str(dies_at)
        arguments = (*DISTRIBUTED, "--strategy", "multi_worker")
        processes.append(start(recipe, output, *arguments, **environment))
    return processes


def test_two_processes_one_of_which_died_train_the_weights_of_one(
    recipe, one_process, tmp_path
):
    output = tmp_path / "workers"
    chief, other = start_workers(recipe, output, dies_at=5)
    finished(other, -signal.SIGKILL)
    assert "another worker is gone" in finished(chief, 2)
    for process in start_workers(recipe, output):
        finished(process)
    same_to(output, one_process, 1e-5)
