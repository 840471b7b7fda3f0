from pathlib import Path

import pytest
import yaml

from larq_bcd.models import get_model
from larq_bcd.training.recipe import Teacher
from larq_bcd.training.recipe_file import read_recipe, write_recipe
from larq_bcd.training.schema import SchemaError

RECIPES = sorted((Path(__file__).parents[2] / "models").glob("*/recipe.yaml"))
PLAIN = """
network: BCDNetB
data: {name: cifar10}
stages:
  - {name: one, binary: activations, iterations: 10, schedule: {peak: 0.1}}
  - {name: two, binary: all, epochs: 2, schedule: {peak: 0.1}}
"""


@pytest.fixture
def recipe(tmp_path):
    """Writes the plain recipe with some lines more."""

    def write(more="", text=PLAIN):
        path = tmp_path / "recipe.yaml"
        path.write_text(text + more)
        return path

    return write


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_a_shipped_recipe_is_valid_says_its_command_and_has_a_smoke_run(path):
    read_recipe(path)
    smoke = read_recipe(path, ["smoke=true"])
    assert all((stage.iterations or 0) <= 10 for stage in smoke.stages)
    comment = path.read_text().split("network:")[0]
    folder = path.parent.name
    assert f"larq-bcd train models/{folder}/recipe.yaml" in comment
    assert f"larq-bcd train models/{folder}/recipe.yaml smoke=true" in comment
    assert "Expected:" in comment
    assert "Time:" in comment


def test_the_networks_of_the_shipped_recipes_can_be_built_as_their_smoke_runs_have_them():
    built = []
    for path in RECIPES:
        smoke = read_recipe(path, ["smoke=true"])
        shape = (*smoke.preprocessing.image_size, smoke.preprocessing.channels)
        for index in range(len(smoke.stages)):
            network = (smoke.network_of(index), {"input_shape": shape, **smoke.arguments})
            if network not in built:  # several recipes have the same one
                built.append(network)
                get_model(network[0], num_classes=2, **network[1])
    assert len(built) > 4


def test_imagenet_settings_are_the_published_ones():
    (path,) = (path for path in RECIPES if path.parent.name == "bcdnet_a_imagenet2012")
    recipe = read_recipe(path)
    first, second = recipe.stages
    assert recipe.batch_size == 256
    assert (recipe.teacher.network, recipe.teacher.weights) == ("ResNet50", "imagenet")
    assert [stage.binary for stage in recipe.stages] == ["activations", "all"]
    assert [stage.iterations for stage in recipe.stages] == [300_000, 600_000]
    assert [stage.optimizer.name for stage in recipe.stages] == ["adamw", "adamw"]
    assert [stage.optimizer.weight_decay for stage in recipe.stages] == [0.01, 0.0]
    rates = (first.schedule.start, first.schedule.peak, first.schedule.warm_up)
    assert rates == (1e-3, 4e-3, 15_000)
    assert (second.schedule.peak, second.schedule.warm_up) == (5e-4, 0)
    assert {stage.schedule.end for stage in recipe.stages} == {0.0}
    assert {stage.loss.label_smoothing for stage in recipe.stages} == {0.1}
    assert {stage.loss.distillation for stage in recipe.stages} == {0.5}
    jitter = first.augmentation.color_jitter
    assert (jitter.brightness, jitter.contrast, jitter.saturation) == (0.2, 0.2, 0.2)
    assert jitter.hue == 0.1
    assert second.augmentation.color_jitter is None


def test_a_written_recipe_reads_as_the_same(recipe, tmp_path):
    first = read_recipe(recipe("teacher: {stage: one}\n"), ["stages.1.loss.distillation=0.5"])
    again = tmp_path / "again.yaml"
    again.write_text(write_recipe(first))
    assert read_recipe(again) == first


def test_settings_change_what_they_name_and_replace_the_alternative(recipe):
    changed = read_recipe(
        recipe(), ["stages.*.epochs=3", "stages.1.iterations=5", "arguments.width=0.5"]
    )
    assert [(stage.epochs, stage.iterations) for stage in changed.stages] == [
        (3, None),
        (None, 5),
    ]
    assert changed.arguments == {"width": 0.5}


def test_smoke_settings_come_before_those_of_the_command_line(recipe):
    path = recipe("smoke_settings: {batch_size: 4, seed: 7}\n")
    assert read_recipe(path).batch_size == 256
    smoke = read_recipe(path, ["smoke=true", "batch_size=8"])
    assert (smoke.batch_size, smoke.seed) == (8, 7)


def test_a_smoke_run_without_settings_is_refused_and_not_the_whole_training(recipe):
    with pytest.raises(SchemaError, match="smoke=true makes a training no shorter without"):
        read_recipe(recipe(), ["smoke=true"])


def test_a_warm_up_may_be_a_share_of_its_stage(recipe, tmp_path):
    for value, steps in (("0.1", 5), ("3", 3), ("0", 0), ("0.99", 50), ("1", 1)):
        read = read_recipe(recipe(), [f"stages.0.schedule.warm_up={value}"])
        assert read.stages[0].schedule.warm_up_steps(50) == steps
        again = tmp_path / "again.yaml"
        again.write_text(write_recipe(read))
        assert f"warm_up: {value}\n" in again.read_text()


def test_a_teacher_may_be_a_path_or_a_name_alone(recipe):
    for given, expected in (
        ("~/runs/model.keras", Teacher(file="~/runs/model.keras")),
        ("BCDNetB:cifar10", Teacher(file="BCDNetB:cifar10")),
        ("ResNet50", Teacher(network="ResNet50")),
        ("ResNet18", Teacher(network="ResNet18")),
    ):
        settings = ["stages.1.loss.distillation=0.5", f"teacher={given}"]
        assert read_recipe(recipe(), settings).teacher == expected


def test_one_pattern_of_trainable_layers_needs_no_list(recipe):
    assert read_recipe(recipe(), ["stages.1.trainable=head"]).stages[1].trainable == ("head",)
    assert read_recipe(recipe()).stages[0].trainable == ("all",)


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (["stages.1.optimizer.nmae=x"], ["stages.1.optimizer.nmae: no such key, did", "name"]),
        (["batch_sise=3"], ["batch_sise: no such key, did you mean 'batch_size'", "precision"]),
        (["preprocessing.image_sizes=[3, 3]"], ["image_sizes: no such", "'image_size'"]),
        (["stages.0.augmentation.mixpu=1"], ["stages.0.augmentation.mixpu", "'mixup'"]),
        (["batch_size=ten"], ["batch_size: input should be a valid integer", "'ten'"]),
        (["batch_size=0"], ["batch_size: input should be greater than 0, not 0"]),
        (["stages.0.binary=half"], ["stages.0.binary: input should be 'none', 'activations'"]),
        (["precision=float16"], ["precision: input should be 'float32' or 'mixed_bfloat16'"]),
        (["network=BCDNetC"], ["'BCDNetC' is not the name of a network", "'BCDNetB'"]),
        (["arguments.widht=1"], ["arguments.widht is not an argument of BCDNetB", "'width'"]),
        (["arguments.num_classes=3"], ["arguments.num_classes follows from the rest"]),
        (["stages.0.epochs=null", "stages.0.iterations=null"], ["stages.0: give either"]),
        (["stages.0.schedule.warm_up=1.5"], ["warm_up: warm_up=1.5 is not supported: pass a"]),
        (["teacher={file: a, network: ResNet50}"], ["teacher: give one of file, network and"]),
        (["teacher={file: a, weights: b}"], ["teacher: a file and a stage have their own"]),
        (["stages.0.loss.distillation=0.5"], ["distillation=0.5 needs a teacher"]),
        (["teacher.network=ResNet50"], ["no stage has a loss.distillation above 0"]),
        (
            ["teacher.stage=two", "stages.1.loss.distillation=1"],
            ["'two' is not a stage before"],
        ),
        (["stages.1.name=one"], ["the names ['one', 'one'] are not all different"]),
        (["stages.0.start=previous"], ["stages.0.start: 'previous' has no stage before"]),
        (["network=MobileNetV1"], ["stages.0.binary='activations': MobileNetV1 has nothing"]),
        (["batch_size=7", "stages.0.augmentation.mixup=1"], ["batch_size=7 is odd"]),
        (["stages.2.epochs=1"], ["'2' is not an index of a list of 2: use 0 to 1, or *"]),
        (["network.width=1"], ["what is before 'width' is a single value"]),
        (["batch_size"], ["'batch_size' is not of the form key=value"]),
        (["seed=[1"], ["setting 'seed=[1': the value is not valid YAML"]),
        (["batch_size=0", "seed=-1"], ["batch_size: ", "; seed: input should be greater"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_is_allowed(recipe, settings, messages):
    with pytest.raises(SchemaError) as error:
        read_recipe(recipe(), settings)
    for message in messages:
        assert message in str(error.value)
    assert "?." not in str(error.value)
    assert "at least 1 item" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "holds no recipe"),
        ("network: BCDNetB", "data: missing"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_refused(recipe, text, message):
    with pytest.raises(SchemaError, match=message):
        read_recipe(recipe(text=text))


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(SchemaError, match=r"nothing\.yaml' cannot be read \(No such file"):
        read_recipe(tmp_path / "nothing.yaml")


def test_recipes_are_plain_data():
    for path in RECIPES:
        assert isinstance(yaml.safe_load(path.read_text()), dict)
