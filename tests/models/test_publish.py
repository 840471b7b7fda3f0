"""What models/publish.py makes of a training, here of one whose steps are made up."""

import csv
import importlib.util
import io
import json
import shutil
from pathlib import Path

import images
import numpy as np
import pytest
from helpers import randomize
from PIL import Image

from larq_bcd.commands.main import larq_bcd
from larq_bcd.data import open_source
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.models import description_of, get_model, published
from larq_bcd.models.published import published_for
from larq_bcd.tflite.metadata import read_metadata
from larq_bcd.training.run import Training

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("publish", ROOT / "models" / "publish.py")
publish = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(publish)

RECIPE = """\
# A small ReActNet-A.
network: ReActNetA
arguments: {{width: 0.125, strides: [1, 1, 1, 1, 2, 2], blocks: [1, 1, 1, 1, 1]}}
data: {{name: {data}, train: "train[:75%]", validation: "train[75%:]"}}
preprocessing: {{image_size: [8, 8], resize: null}}
batch_size: 4
stages:
  - name: step2
    binary: all
    iterations: 2
    schedule: {{peak: 0.01}}
"""


def test_the_example_is_the_first_image_of_prepared_data_too(tmp_path):
    images.write_prepared(tmp_path, {"test": [3]})
    source = open_source("pictures", "test", tmp_path)
    first = Image.open(io.BytesIO(publish._first_image(source)))
    np.testing.assert_array_equal(first, images.numbered(0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with images, a recipe in a zoo, and the run of it."""
    folder = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 5)):
        for name, channel in (("red", 0), ("blue", 2)):
            of_class = folder / "data" / split / name
            of_class.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 80, (8, 8, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(of_class / f"{number}.png")
    zoo = folder / "zoo" / "reactnet_a_colors"
    zoo.mkdir(parents=True)
    (zoo / "recipe.yaml").write_text(RECIPE.format(data=folder / "data"))
    (zoo / "card.md").write_text("# ReActNet-A on two colors\n\nFigures of another training.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_fit", made_up)
        assert larq_bcd(["train", str(zoo), "--output", str(folder / "run")]) == 0
    return folder


def made_up(training, model, recorder, index, lengths, done, restored):
    randomize(model.network, np.random.default_rng(0), scale=0.3)
    done.step, done.seconds = lengths.steps, 120.0
    done.epochs.append({"epoch": 1, "step": done.step, "loss": 1.5, "val_accuracy": 0.75})


@pytest.fixture(scope="module")
def done(trained):
    """The zoo's folder, and what is known of the weights, when it has been published."""
    with pytest.MonkeyPatch.context() as patch:
        index = trained / "trained"
        index.mkdir()
        (index / "index.json").write_text("[]")
        patch.setattr(published, "FOLDER", index)
        zoo = trained / "zoo" / "reactnet_a_colors"
        assert publish.main([str(trained / "run"), "--name", "colors", "--zoo", str(zoo)]) == 0
        yield zoo, published_for("ReActNetA")["colors"]


def test_one_command_makes_a_published_network_of_a_run(done, trained):
    zoo, weights = done
    assert weights.full_name == "ReActNetA:colors"
    assert (weights.split, weights.card) == ("test", "reactnet_a_colors")
    assert weights.arguments["num_classes"] == 2
    model = get_model("ReActNetA:colors")
    known = description_of(model)
    assert known.class_names == weights.class_names == ("blue", "red")
    assert known.preprocessing == weights.preprocessing == Preprocessing((8, 8), resize=None)
    files = "card.md confusion.csv confusion.png curves.png example.png recipe.yaml"
    expected = {*files.split(), "reactnet_a_colors.tflite", "results.json"}
    assert {path.name for path in zoo.iterdir()} == expected
    example, split = np.array(Image.open(zoo / "example.png")), trained / "data" / "test"
    assert any((example == Image.open(path)).all() for path in split.rglob("*.png"))
    metadata = read_metadata((zoo / "reactnet_a_colors.tflite").read_bytes())
    assert metadata.labels == ["blue", "red"]
    assert metadata.origin["recipe_sha256"] == publish._sha256(zoo / "recipe.yaml")


def test_the_commands_of_the_card_print_its_figures(done, capsys, monkeypatch):
    zoo, weights = done
    rows = [line.split(" | ") for line in (zoo / "card.md").read_text().splitlines()]
    figures = {row[0].strip("| "): (row[1], row[2]) for row in rows if len(row) == 3}
    monkeypatch.chdir(zoo.parents[1])  # in which the zoo is what models/ is to the project
    (zoo.parents[1] / "models").symlink_to(zoo.parent)
    printed = {}
    for _, command in figures.values():
        words = command.strip("`| ").split()
        if words[0] == "larq-bcd" and command not in printed:
            assert larq_bcd(words[1:]) == 0
            printed[command] = capsys.readouterr().out
    checked = {
        what: value.split()[0]
        for what, (value, command) in figures.items()
        if command in printed and value.split()[0] in printed[command]
    }
    assert set(checked) == set(figures) - {"", "---"}
    assert float(checked["accuracy, Keras"].rstrip("%")) == pytest.approx(weights.top1)


def test_its_results_and_its_confusion_matrix_agree(done):
    zoo, weights = done
    results = json.loads((zoo / "results.json").read_text())
    assert results["weights"]["sha256"] == weights.sha256
    assert results["network"] == "ReActNetA"
    assert results["test_images"] == 10
    rows = list(csv.reader((zoo / "confusion.csv").open()))
    assert rows[0] == ["class", "blue", "red"]
    counts = np.array([row[1:] for row in rows[1:]], int)
    assert counts.sum() == 10
    assert np.trace(counts) / 10 == results["test_accuracy"]["keras"]
    assert results["tflite_bytes"] == (zoo / "reactnet_a_colors.tflite").stat().st_size


def test_the_card_keeps_what_people_write_and_says_how_often_the_test_split_was_read(done):
    zoo, _ = done
    text = (zoo / "card.md").read_text()
    assert "| step2 | 2 | 1 | 75.00% | 2 min |" in text
    assert text.startswith(f"# ReActNet-A on two colors\n\n{publish.START}\n")
    assert "another training" not in text
    assert "split `test` was read once" in text
    assert "the training had `train[:75%]`, and `train[75%:]` to validate on" in text
    (zoo / "card.md").write_text(text.replace(publish.END, f"{publish.END}\nBy people."))
    results = json.loads((zoo / "results.json").read_text())
    recipe = publish.read_recipe(zoo)
    changes = {"test_split": "train", "kernels_rounded_to": "float16"}
    publish._write_card(zoo, recipe, {**results, **changes})
    assert "kernels were rounded" not in text
    text = (zoo / "card.md").read_text()
    assert "The real kernels were rounded to float16 after the training" in text
    assert "`train` is not unseen: the training had `train[:75%]` and `train[75%:]`" in text
    assert text.endswith("By people.\n")
    assert text.count(publish.START) == text.count("# ReActNet-A") == 1


def copied(trained, tmp_path):
    """A run and a zoo's folder of its own."""
    run = shutil.copytree(trained / "run", tmp_path / "run")
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    shutil.copy(trained / "zoo" / "reactnet_a_colors" / "recipe.yaml", zoo)
    return run, zoo


def unfinished(run, zoo):
    (run / "model.keras").unlink()


def of_another_recipe(run, zoo):
    path = zoo / "recipe.yaml"
    path.write_text(path.read_text().replace("peak: 0.01", "peak: 0.02"))


def of_real_kernels(run, zoo):
    for path in (run / "recipe.yaml", zoo / "recipe.yaml"):
        path.write_text(path.read_text().replace("binary: all", "binary: activations"))


def published_before(run, zoo):
    (zoo / "results.json").write_text('{"weights": {"name": "ReActNetA:old"}}')


def without_a_recipe(run, zoo):
    shutil.rmtree(zoo)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unfinished, "has no model.keras: give the folder of a training that is done"),
        (of_another_recipe, "was trained by another recipe than"),
        (of_real_kernels, "does not end in a binary network"),
        (published_before, "is published, and a test split is read once for a training"),
        (without_a_recipe, "zoo' cannot be read"),
    ],
)
def test_what_is_not_fit_is_not_published(change, message, trained, tmp_path, capsys):
    run, zoo = copied(trained, tmp_path)
    change(run, zoo)
    before = sorted(tmp_path.rglob("*"))
    assert publish.main([str(run), "--name", "colors", "--zoo", str(zoo)]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
