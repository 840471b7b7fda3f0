import dataclasses
import hashlib
import json
import socket
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import randomize

from larq_bcd.commands.main import larq_bcd, lce_convert
from larq_bcd.convert import convert
from larq_bcd.convert.load import load_model
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models import (
    ReActNetA,
    description_of,
    get_model,
    list_models,
    model_info,
    published,
)
from larq_bcd.models.packed import pack
from larq_bcd.models.published import Weights, architecture
from larq_bcd.summary import cost
from larq_bcd.tflite.graph import Graph
from larq_bcd.tflite.metadata import read_metadata
from larq_bcd.training.networks import build_network, load_start
from larq_bcd.training.recipe_file import read_recipe

ROOT = Path(__file__).parents[2]
IMAGES = Preprocessing((16, 16), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), resize=18)
NAMES = ("ant", "bee", "cat", "dog", "emu")
ARGUMENTS = {**model_info("ReActNetA").reduced, "blocks": (1, 1, 1, 1, 1), "pad_values": 1.0}
REAL = published.FOLDER


def about(name="tiny", **changes):
    content = Weights(
        network="ReActNetA",
        name=name,
        arguments=architecture(ReActNetA, ARGUMENTS),
        dataset="animals",
        split="test",
        top1=87.5,
        preprocessing=IMAGES,
        class_names=NAMES,
        bops=12_000_000,
        flops=3_000_000,
        card="reactnet_a_animals",
    )
    return dataclasses.replace(content, **changes)


def new_network():
    model = ReActNetA(**ARGUMENTS)
    randomize(model, np.random.default_rng(0), scale=0.3)
    return model


@pytest.fixture(scope="module")
def network():
    return new_network()


@pytest.fixture(scope="module")
def arrays(network):
    return pack(network)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An index of its own, empty."""
    place = tmp_path / "trained"
    place.mkdir()
    (place / "index.json").write_text("[]")
    monkeypatch.setattr(published, "FOLDER", place)
    return place


@pytest.fixture
def tiny(folder, arrays):
    """What the index has of the network, which is published."""
    return published.add(about(), arrays)


def images(count=2, size=16):
    return np.random.default_rng(1).normal(size=(count, size, size, 3)).astype(np.float32)


def test_published_weights_are_found_by_name_with_what_is_known_of_them(tiny, folder):
    content = (folder / "ReActNetA_tiny.npz").read_bytes()
    assert list_models(pretrained=True) == ["ReActNetA:tiny"]
    assert list_models("bcdnet*", pretrained=True) == []
    known = model_info("ReActNetA").weights["tiny"]
    assert known == tiny
    assert known == about(
        file="ReActNetA_tiny.npz",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    assert model_info("ReActNetB").weights == {}


def test_a_network_has_the_architecture_and_the_function_of_its_weights(tiny, network):
    for model in (ReActNetA(weights="tiny"), get_model("ReActNetA:tiny")):
        np.testing.assert_array_equal(model(images()), network(images()))
        assert model.name == "reactnet_a"
        known = description_of(model)
        assert (known.preprocessing, known.class_names) == (IMAGES, NAMES)


def test_the_same_weights_are_the_same_file(tiny, folder, arrays):
    first = (folder / tiny.file).read_bytes()
    assert published.add(about(), arrays) == tiny
    assert (folder / tiny.file).read_bytes() == first


def test_two_weights_of_one_network(tiny, arrays):
    large = published.add(about("tiny-large", card="another"), arrays)
    assert list_models(pretrained=True) == ["ReActNetA:tiny", "ReActNetA:tiny-large"]
    assert model_info("ReActNetA").weights == {"tiny": tiny, "tiny-large": large}


def test_arguments_that_say_the_same_may_be_given(tiny, network):
    arguments = {**ARGUMENTS, "blocks": np.ones(5, int), "width": np.float64(0.125)}
    model = ReActNetA(weights="tiny", name="mine", **arguments)
    np.testing.assert_array_equal(model(images()), network(images()))
    assert model.name == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"width": 0.5},
            r"width=0.5 contradicts the weights 'tiny', .*width=0.125: leave it o",
        ),
        ({"strides": (1,) * 6}, r"strides=\(1, .* of strides=\[1, 1, 1, 1, 2, 2\]"),
        ({"pad_values": 0.0}, r"pad_values=0.0 contradicts .* of pad_values=1.0"),
        ({"kernel_quantizer": None}, r"kernel_quantizer=None contradicts .*='scaled_sign'"),
        ({"input_shape": (32, 32, 3)}, r"input_shape=\(32, 32, 3\) contradicts .*copy_weights"),
        ({"input_tensor": tf.keras.Input((32, 32, 3))}, r"of \(32, 32, 3\), but .*resize it"),
        ({"input_tensor": np.zeros((1, 16, 16, 3))}, "input_tensor is a ndarray"),
        ({"num_classes": 0}, "num_classes=0 is not supported"),
    ],
)
def test_what_contradicts_the_weights_is_named(arguments, message, tiny):
    with pytest.raises(UserError, match=message):
        ReActNetA(weights="tiny", **arguments)


def test_other_classes_get_a_new_classifier_and_it_is_said(tiny, network):
    with pytest.warns(UserWarning, match=r"new one of num_classes=3, as .* 'tiny' are of 5"):
        model = ReActNetA(weights="tiny", num_classes=3)
    assert model.output_shape == (None, 3)
    known = description_of(model)
    assert (known.preprocessing, known.class_names) == (IMAGES, None)
    features = [
        tf.keras.Model(m.inputs, m.get_layer("pool").output)(images()) for m in (model, network)
    ]
    np.testing.assert_array_equal(*features)


def test_features_need_no_classifier(tiny, network):
    features = ReActNetA(weights="tiny", include_top=False)
    expected = tf.keras.Model(network.inputs, network.get_layer("pool").input)
    np.testing.assert_array_equal(features(images()), expected(images()))
    assert description_of(features).preprocessing == IMAGES


def test_behind_an_input_tensor_nothing_is_said_of_the_images(tiny, network):
    pixels = tf.keras.Input((16, 16, 3))
    model = ReActNetA(weights="tiny", input_tensor=tf.keras.layers.Rescaling(0.5)(pixels))
    np.testing.assert_array_equal(model(images()), network(images() / 2))
    assert description_of(model).class_names is None


def test_a_copy_of_the_file_is_enough(tiny, folder, network, tmp_path):
    copy = tmp_path / "mine.npz"
    copy.write_bytes((folder / tiny.file).read_bytes())
    model = ReActNetA(weights=copy)
    np.testing.assert_array_equal(model(images()), network(images()))
    assert description_of(model).class_names == NAMES
    with pytest.raises(
        UserError, match=r"ReActNetB: .*mine\.npz' are of ReActNetA: build that"
    ):
        get_model("ReActNetB", weights=copy)


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


@pytest.mark.parametrize("damage", [cut, flipped, lambda content: b""])
def test_a_damaged_file_is_one_sentence(damage, tiny, folder, tmp_path):
    file = folder / tiny.file
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    with pytest.raises(UserError, match=r"tiny\.npz is not the published file .*SHA-256 is"):
        ReActNetA(weights="tiny")
    file.unlink()
    with pytest.raises(UserError, match=r"tiny\.npz, .* cannot be read \(No such file"):
        ReActNetA(weights="tiny")
    copy = tmp_path / "copy.npz"
    copy.write_bytes(damaged)
    with pytest.raises(UserError, match=r"copy\.npz is not a file of published weights, or da"):
        ReActNetA(weights=copy)


@pytest.mark.parametrize("text", [None, "[", '[{"network": "ReActNetA"}]', '{"a": 1}', "[3]"])
def test_a_damaged_index_is_one_sentence(text, folder):
    index = folder / "index.json"
    index.unlink() if text is None else index.write_text(text)
    with pytest.raises(UserError, match=r"index\.json, the index .* missing or damaged"):
        list_models(pretrained=True)
    assert "ReActNetA" in list_models()
    assert ReActNetA(**ARGUMENTS).count_params() > 0


def test_an_unknown_name_of_weights_names_those_that_there_are(tiny):
    with pytest.raises(UserError, match=r"'tyni' is neither a file nor .*name \(tiny\)"):
        ReActNetA(weights="tyni")
    with pytest.raises(UserError, match=r"does not exist: did you mean 'ReActNetA:tiny'\?"):
        load_model("ReActNetA:tyni")
    with pytest.raises(TypeError, match="weights"):
        get_model("ReActNetA:tiny", weights="tiny")


def test_a_file_that_is_too_large_is_not_published(folder, arrays, monkeypatch):
    monkeypatch.setattr(published, "LARGEST", 20_000)
    with pytest.raises(
        UserError, match=r"ReActNetA:tiny take [\d,]+ bytes, but .* most 20,000"
    ):
        published.add(about(), arrays)
    assert [path.name for path in folder.iterdir()] == ["index.json"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / ".keras").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def put_at(url, folder, **changes):
    """Has the index say that the file is there."""
    [entry] = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps([{**entry, "file": url, **changes}]))


def test_weights_at_a_url_load_only_if_they_are_the_published_ones(
    tiny, folder, home, network, capsys
):
    url = (folder / tiny.file).rename(home / "far.npz").as_uri()
    put_at(url, folder)
    np.testing.assert_array_equal(ReActNetA(weights="tiny")(images()), network(images()))
    assert capsys.readouterr().out == ""  # a bar is for terminals
    put_at(url, folder, sha256="0" * 64)
    (home / ".keras" / "larq_bcd" / "far.npz").unlink()
    with pytest.raises(UserError, match="is not the published one, whose SHA-256 is 000"):
        ReActNetA(weights="tiny")


def test_weights_at_a_url_without_a_connection_are_one_sentence(tiny, folder, home):
    with socket.socket() as closed:  # bound, and not listening: nothing answers
        closed.bind(("127.0.0.1", 0))
        put_at(f"http://127.0.0.1:{closed.getsockname()[1]}/a.npz", folder)
        with pytest.raises(UserError, match=r"cannot be fetched .*refused.*pass its path"):
            ReActNetA(weights="tiny")


def test_the_command_lists_them(tiny, capsys):
    assert larq_bcd(["models", "--pretrained"]) == 0
    [line] = [x for x in capsys.readouterr().out.splitlines() if "ReActNetA:tiny" in x]
    size = f"{tiny.size / 1e3:.0f}"
    values = ["animals,", "test", "16x16x3", "87.50", "%", "5", "0.012e9", "0.030e8", size]
    assert line.split()[1:] == [*values, "kB", "models/reactnet_a_animals"]


def test_the_command_says_that_there_are_none(folder, capsys):
    assert larq_bcd(["models", "--pretrained"]) == 0
    assert "No trained network" in capsys.readouterr().out


def operators_of(content):
    """Each operator of a file, and its constants as bytes."""
    return [
        (node.type, [None if x is None else x.tobytes() for x in map(node.constant, range(4))])
        for node in Graph(content).nodes
    ]


def test_its_file_is_that_of_the_trained_network_and_knows_images_and_classes(
    tiny, network, tmp_path
):
    """Bit for bit: the converter makes the same of the signs as of what was trained."""
    path = tmp_path / "tiny.tflite"
    assert lce_convert(["ReActNetA:tiny", "-o", str(path), "--check-count", "2"]) == 0
    content = path.read_bytes()
    known = read_metadata(content).description((16, 16, 3))
    assert (known.preprocessing, known.class_names) == (IMAGES, NAMES)
    trained = convert(network, tolerance_factor=None).content
    assert operators_of(content) == operators_of(trained)


def test_a_trained_network_is_finetuned(tiny):
    """The loss falls, and latent weights of one magnitude do change their signs."""
    model = ReActNetA(weights="tiny")
    x, labels = images(8), np.arange(8) % 5
    kernels = [w for w in model.trainable_weights if w.shape.rank == 4][1:]
    before, losses = [kernel.numpy() for kernel in kernels], []
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = tf.keras.optimizers.Adam(0.05)
    for _ in range(8):
        with tf.GradientTape() as tape:
            losses.append(loss(labels, model(x, training=True)))
        gradients = tape.gradient(losses[-1], model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
    assert losses[-1] < 0.5 * losses[0]
    flipped = [np.sign(w) != np.sign(old) for w, old in zip(kernels, before, strict=True)]
    assert all(flips.any() for flips in flipped)


@pytest.mark.parametrize("name", ["tiny", "ReActNetA:tiny"])
@pytest.mark.parametrize("classes", ["", ", num_classes: 5"])
@pytest.mark.filterwarnings("ignore:ReActNetA. the classifier is a new one")
def test_a_recipe_starts_from_published_weights(name, classes, tiny, network, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    shape = {key: tiny.arguments[key] for key in ("width", "strides", "blocks", "pad_values")}
    recipe.write_text(f"""
        network: ReActNetA
        arguments: {json.dumps(shape)}
        data: {{name: cifar10}}
        preprocessing: {{image_size: [16, 16]}}
        stages:
          - {{name: one, binary: all, epochs: 1, schedule: {{peak: 0.1}},
             start: {{file: "{name}"{classes}}}}}
        """)
    recipe = read_recipe(recipe)
    model = build_network(recipe, 0, num_classes=3)
    load_start(recipe, 0, recipe.stages[0].start, model)
    features = [
        tf.keras.Model(m.inputs, m.get_layer("pool").output)(images()) for m in (model, network)
    ]
    np.testing.assert_array_equal(*features)


def test_every_network_that_is_published_is_what_the_index_says(monkeypatch):
    monkeypatch.setattr(published, "FOLDER", REAL)
    entries = published.index()
    files = {path.name for path in REAL.iterdir()} - {"index.json", "__pycache__"}
    assert files == {weights.file for weights in entries if "://" not in weights.file}
    assert [x.full_name for x in entries] == sorted({x.full_name for x in entries})
    for weights in entries:
        assert weights.size <= published.LARGEST
        classes = weights.arguments["num_classes"]
        assert len(weights.class_names) == classes
        assert 0 < weights.top1 <= 100
        model = get_model(weights.full_name)  # which verifies the checksum
        assert model.output_shape == (None, classes)
        assert model.input_shape[1:] == weights.preprocessing.input_shape
        assert description_of(model).class_names == weights.class_names
        assert cost(model).bops == weights.bops
        assert cost(model).flops == weights.flops
        card = ROOT / "models" / weights.card
        results = json.loads((card / "results.json").read_text())
        assert results["weights"]["sha256"] == weights.sha256
        assert 100 * results["test_accuracy"]["keras"] == pytest.approx(weights.top1)
        assert weights.full_name in (card / "card.md").read_text()
        assert len((card / f"{card.name}.tflite").read_bytes()) == results["tflite_bytes"]
