"""The page that leads from an official checkpoint to a classified photograph, as it says."""

import re
import shlex
from pathlib import Path

import numpy as np
import official
import PIL.Image
import pytest
import tensorflow as tf
import torch
from larq_bcd_runtime import cli

from larq_bcd.commands.main import larq_bcd, lce_convert
from larq_bcd.data import imagenet
from larq_bcd.data.images import read_pixels
from larq_bcd.data.preprocessing import Preprocessing

PAGE = Path(__file__).parents[2] / "docs" / "ship" / "imagenet.md"


def run(line):
    command, *arguments = shlex.split(line)
    programs = {"larq-bcd": larq_bcd, "lce_convert": lce_convert, "bcd-run": cli.main}
    assert programs[command](arguments) in (0, None), line


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        ("ReActNet18", "reactnet_18"),
        pytest.param("ReActNetA", "reactnet_a", marks=pytest.mark.slow),
        pytest.param("BCDNetA", "bcdnet_a", marks=pytest.mark.slow),
    ],
)
def test_the_commands_of_the_page_classify_a_photograph(
    model, layout, rng, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text().replace("bcdnet_a", layout)
    text = text.replace("--model BCDNetA", f"--model {model}")
    lines = re.findall(r"^    ((?:larq-bcd import|lce_convert|bcd-run) .*)", text, re.M)
    assert len(lines) == 3
    state = official.random_state(layout, 0)
    state = official.flat(state) if model == "ReActNetA" else state
    parallel = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": parallel}, f"{layout}.pth.tar")
    noise = rng.integers(0, 256, (260, 320, 3), np.uint8)
    PIL.Image.fromarray(noise).save("cat.jpg")
    for line in lines:
        capsys.readouterr()
        run(line)
    photograph, best, *_ = capsys.readouterr().out.splitlines()
    assert photograph == "cat.jpg"

    of_imagenet = Preprocessing((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 256)
    image = of_imagenet.normalized(read_pixels(Path("cat.jpg"), of_imagenet))
    logits = tf.keras.models.load_model(f"{layout}.keras")(image[None]).numpy()[0]
    *_, second, first = np.sort(logits)
    assert first - second > 0.3  # more than a sign that falls the other way changes
    assert best.endswith(f"%  {imagenet.class_names()[logits.argmax()]}")
