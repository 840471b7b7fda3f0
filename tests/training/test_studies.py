import json
from pathlib import Path

import numpy as np
import pytest

from larq_bcd.summary import cost
from larq_bcd.training import networks
from larq_bcd.training.schema import SchemaError
from larq_bcd.training.studies import StudyFolder, comparison, read_study, report, statistics
from larq_bcd.training.studies.statistics import Interval

STUDIES = sorted((Path(__file__).parents[2] / "models" / "studies").glob("*/study.yaml"))
RECIPE = """
network: BCDNetB
data: {name: cifar10}
batch_size: 64
stages:
  - {name: one, binary: activations, iterations: 10, schedule: {peak: 0.1}}
  - {name: two, binary: all, epochs: 2, schedule: {peak: 0.1}}
smoke_settings: {stages.*.iterations: 4}
"""
STUDY = """
title: A study
recipe: recipe.yaml
seeds: [0, 1]
base: plain
variants:
  plain: {}
  dynamic: {network: BCDNetA, stages.*.schedule.peak: 0.3}
  one-step: {stages: [{name: all, binary: all, epochs: 9, schedule: {peak: 0.2}}]}
claims:
  - {claim: Two steps help, better: plain, than: one-step}
"""


@pytest.fixture
def study(tmp_path):
    """Writes a study, with some lines changed."""

    def write(old="", new=""):
        assert old in STUDY
        (tmp_path / "recipe.yaml").write_text(RECIPE)
        (tmp_path / "study.yaml").write_text(STUDY.replace(old, new, 1) if old else STUDY)
        return tmp_path / "study.yaml"

    return write


def test_variants_are_the_recipe_with_their_changes(study):
    found, recipes = read_study(study())
    assert list(recipes) == ["plain", "dynamic", "one-step"]
    assert found.seeds == (0, 1)
    assert recipes["plain"].network == "BCDNetB"
    assert recipes["dynamic"].network == "BCDNetA"
    assert [stage.schedule.peak for stage in recipes["dynamic"].stages] == [0.3, 0.3]
    assert [stage.epochs for stage in recipes["one-step"].stages] == [9]
    assert {recipe.batch_size for recipe in recipes.values()} == {64}


def test_settings_and_smoke_come_after_the_changes_of_a_variant(study):
    """As a recipe that has `smoke_settings` in it would set them again."""
    settings = ["smoke=true", "batch_size=8", "stages.*.schedule.peak=0.5"]
    found, recipes = read_study(study().parent, settings)
    for recipe in recipes.values():
        assert recipe.smoke
        assert recipe.smoke_settings == {}
        assert recipe.batch_size == 8
        for stage in recipe.stages:
            assert (stage.iterations, stage.epochs, stage.schedule.peak) == (4, None, 0.5)
    # What the study says of its variants, which the page repeats, is as it was.
    assert found.variants["one-step"]["stages"][0]["schedule"] == {"peak": 0.2}


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("seeds:", "seed:", ["seed: no such key, did you mean 'seeds'?", "seeds: missing"]),
        ("than: one", "then: one", ["claims.0.then: no such key, did you mean 'than'?"]),
        ("[0, 1]", "[]", ["seeds: tuple should have at least 1 item"]),
        ("[0, 1]", "[0, 0]", ["seeds: [0, 0] are not all different"]),
        ("[0, 1]", "[0, -1]", ["seeds.1: input should be greater than or equal to 0"]),
        ("base: plain", "base: plane", ["base: there is no variant 'plane', did you mean"]),
        ("base: plain", "base: x", ["no variant 'x': use one of plain, dynamic, one-step"]),
        ("better: plain", "better: plan", ["claims.0.better: there is no variant 'plan'"]),
        ("than: one-step", "than: plain", ["claims.0: better and than are both 'plain'"]),
        ("plain: {}", "plain: 3", ["variants.plain: write its settings as key: value, or {}"]),
        ("plain: {}", "a/b: {}", ["variants.a/b: the name is that of a folder too"]),
        ("plain: {}", "plain: {seed: 3}", ["variants.plain.seed: leave it out, seeds has"]),
        ("plain: {}", "plain: {1: 3}", ["variants.plain: the key 1 is not a path"]),
        ("plain: {}", "plain: {batch_sise: 3}", ["yaml: variants.plain: ", "'batch_size'"]),
        ("network: BCDNetA", "network: BCDNetC", ["variants.dynamic: ", "'BCDNetC' is not"]),
        ("peak: 0.3", "peak: -1", ["variants.dynamic: ", "stages.0.schedule.peak: input"]),
        ("stages.*.", "stages.2.", ["variants.dynamic: stages.2.schedule.peak=0.3: '2' is"]),
        ("plain: {}", "plain: {data.validation: null}", ["variants.plain: data.validation: a"]),
        ("recipe.yaml", "nothing.yaml", ["nothing.yaml' cannot be read (No such file"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_the_variant_and_the_key(study, old, new, messages):
    with pytest.raises(SchemaError) as error:
        read_study(study(old, new))
    for message in messages:
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "is not valid YAML"), ("- 1", "holds no study"), ("{}", "title: missing")],
)
def test_a_file_that_is_not_a_study_is_refused(tmp_path, text, message):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(SchemaError, match=message):
        read_study(tmp_path)


def test_a_fault_of_the_recipe_or_of_a_setting_is_not_one_of_a_variant(study):
    for setting, message in (
        ("batch_size=0", "batch_size: input"),
        ("seed=3", "has the seeds"),
    ):
        with pytest.raises(SchemaError, match=message) as error:
            read_study(study(), [setting])
        assert "variants" not in str(error.value)


def integrated_quantile(degrees):
    """Where the density of Student's t, integrated by NumPy, leaves 2.5 % above."""
    # By t = tan(angle), so that the tails are in it.
    angle = np.linspace(-np.pi / 2, np.pi / 2, 2_000_001)[1:-1]
    t = np.tan(angle)
    density = (1 + t**2 / degrees) ** (-(degrees + 1) / 2) * (1 + t**2)
    share = np.cumsum(density)
    return np.interp(0.975, share / share[-1], t)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 12, 29])
def test_quantiles_are_those_of_students_t(degrees):
    expected = integrated_quantile(degrees)
    assert statistics.t_quantile(degrees) == pytest.approx(expected, rel=1e-4)


def test_quantiles_are_those_of_the_tables():
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 19: 2.093, 120: 1.980}
    for degrees, value in table.items():
        assert round(statistics.t_quantile(degrees), 3) == value


def test_means_and_their_intervals_are_numpys(rng):
    for count in (2, 3, 5, 10):
        values = rng.normal(0.7, 0.02, count)
        found = statistics.mean_interval([*map(float, values)])
        error = np.std(values, ddof=1) / np.sqrt(count)
        margin = integrated_quantile(count - 1) * error
        assert found.mean == pytest.approx(values.mean())
        assert found.low == pytest.approx(values.mean() - margin, rel=1e-4)
        assert found.high == pytest.approx(values.mean() + margin, rel=1e-4)
        assert found.count == count


def test_intervals_contain_the_true_mean_as_often_as_they_say(rng):
    samples = rng.normal(1.0, 0.3, (4000, 3))
    found = [statistics.mean_interval([*map(float, sample)]) for sample in samples]
    share = np.mean([interval.low <= 1.0 <= interval.high for interval in found])
    assert share == pytest.approx(0.95, abs=0.015)


def test_one_value_has_no_interval_and_none_no_mean():
    assert statistics.mean_interval([0.5]) == Interval(0.5, None, 1)
    assert statistics.mean_interval([]) is None


def test_differences_are_paired_by_seed():
    """The seeds differ by far more than the variants: the pairs alone show it."""
    first = {3: 0.9, 0: 0.51, 1: 0.61, 2: 0.72}
    second = {0: 0.50, 1: 0.60, 2: 0.70, 4: 0.1}
    found = statistics.paired_difference(first, second)
    expected = statistics.mean_interval([0.01, 0.01, 0.02])
    assert found.count == 3
    assert (found.mean, found.margin) == pytest.approx((expected.mean, expected.margin))
    assert statistics.paired_difference(first, {7: 1.0}) is None


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        (Interval(1.0, 0.9, 3), "seen"),
        (Interval(1.0, 1.0, 3), "not seen at this size"),
        (Interval(-1.0, 1.1, 3), "not seen at this size"),
        (Interval(-1.0, 0.9, 3), "the opposite is seen"),
        (Interval(1.0, None, 1), "not known yet"),
        (None, "not known yet"),
    ],
)
def test_a_claim_is_seen_if_its_interval_is_above_zero(interval, said):
    assert comparison.verdict(interval) == said


def test_a_page_of_some_seeds_says_so(study, tmp_path):
    folder = StudyFolder(tmp_path / "out", *read_study(study()))
    for run in folder.runs[:4]:  # all of seed 0, and the base of seed 1
        run.folder.mkdir(parents=True)
        results = {
            "stages": [{"last": {"val_accuracy": 0.25 + run.seed / 4}, "seconds": 90.0}],
            "cost": {"bops": 64, "flops": 1, "ops": 2.0},
            "larq_bcd": "0.1.0",
            "tensorflow": "2.21.0",
        }
        (run.folder / "results.json").write_text(json.dumps(results))
    report.write(folder, "study.yaml", ["data.data_dir=/here", "batch_size=8"])
    page = (folder.path / report.PAGE).read_text()
    assert "**Not complete: 4 of 6 trainings are done.**" in page
    assert "| plain | 2 | 2 of 2 | 37.50 ± 158.83 % |  |" in page
    assert "| dynamic | 2 | 1 of 2 | 25.00 % | +0.00 |" in page
    assert "| plain − one-step | 1 of 2 | +0.00 | not known yet |" in page
    assert (
        "one (binary: activations) of 10 iterations, then two (binary: all) of 2 epochs" in page
    )
    assert "A training took 1.5 min on average" in page
    assert "larq_bcd 0.1.0, TensorFlow 2.21.0" in page
    # Where the images are on this machine is not for others.
    assert f"larq-bcd study study.yaml batch_size=8 --output {folder.path}" in page
    assert "larq-bcd train recipe.yaml batch_size=8 seed=0" in page
    assert folder.seconds_left() == 2 * 90.0


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_a_shipped_study_says_its_command_and_keeps_off_the_test_split(path):
    study, recipes = read_study(path)
    smoke = read_study(path, ["smoke=true"])[1]
    assert f"larq-bcd study models/studies/{path.parent.name}" in path.read_text()
    assert len(study.seeds) >= 3
    for name, recipe in recipes.items():
        parts = (recipe.data.train, recipe.data.validation)
        assert parts == ("train[:90%]", "train[90%:]"), name
        assert all(stage.iterations <= 10 for stage in smoke[name].stages)
        # Each a network of its own.
        assert [other for other in recipes if recipes[other] == recipe] == [name]


def test_the_variants_of_the_claims_have_equal_epochs_and_equal_ops():
    (path,) = (path for path in STUDIES if path.parent.name == "claims_cifar10")
    study, recipes = read_study(path)
    assert len({sum(stage.epochs for stage in each.stages) for each in recipes.values()}) == 1
    assert len({(each.batch_size, each.preprocessing) for each in recipes.values()}) == 1
    built: dict[str, float] = {}  # several variants have the same network

    def ops(recipe):
        key = f"{recipe.network} {recipe.arguments}"
        if key not in built:
            last = len(recipe.stages) - 1
            built[key] = cost(networks.build_network(recipe, last, 10)).ops
        return built[key]

    base = ops(recipes[study.base])
    for name, recipe in recipes.items():
        assert ops(recipe) == pytest.approx(base, rel=0.02), name
    assert "of the same OPs to 2 %" in " ".join(path.read_text().replace("#", "").split())
