"""The command `larq-bcd study`, with trainings that are faked, and with one that is not."""

import csv
import fcntl
import json
import signal
import sys
from pathlib import Path

import images
import pytest

from larq_bcd.commands import main
from larq_bcd.training.studies import trainings

FAKE = Path(__file__).parent / "fake_training.py"
TINY = Path(__file__).parents[1] / "training" / "tiny_run.py"
RECIPE = """
network: ResNet18
arguments: {{width: 0.125}}
data: {{name: {data}, train: train, validation: test}}
preprocessing: {{image_size: [8, 8], resize: null}}
batch_size: 8
checkpoint_every: 2
stages:
  - {{name: real, binary: none, iterations: 4, schedule: {{peak: 0.01}}}}
"""
STUDY = """
title: Rates
recipe: recipe.yaml
seeds: [0, 1, 2]
base: low
variants:
  low: {}
  high: {stages.0.schedule.peak: 0.1}
claims:
  - {claim: A high rate is better, better: high, than: low}
  - {claim: A low rate is better, better: low, than: high}
"""
ACCURACIES = {
    "low/seed0": 0.50, "low/seed1": 0.60, "low/seed2": 0.70,
    "high/seed0": 0.60, "high/seed1": 0.71, "high/seed2": 0.79,
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    """A study of two variants in a folder of its own."""
    few = {"cat": 16, "dog": 16}
    images.write_folder(tmp_path / "data", {"train": few, "test": few})
    folder = tmp_path / "rates"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE.format(data=tmp_path / "data"))
    (folder / "study.yaml").write_text(STUDY)
    return folder


@pytest.fixture
def larq_bcd_study(study, tmp_path, monkeypatch, capsys):
    """Runs the command with faked trainings: status, what it printed, what was trained."""
    log = tmp_path / "log"
    monkeypatch.setenv("FAKE_LOG", str(log))
    monkeypatch.setattr(trainings, "TRAIN", (sys.executable, str(FAKE)))
    monkeypatch.setattr(trainings, "_PATIENCE", 0.02)

    def run(*words, **outcomes):
        named = {name.replace("_", "/"): outcome for name, outcome in outcomes.items()}
        monkeypatch.setenv("FAKE", json.dumps({**ACCURACIES, **named}))
        log.write_text("")
        status = main.larq_bcd(["study", str(study), *words, "--output", str(tmp_path / "out")])
        printed = capsys.readouterr()
        return status, printed.out + printed.err, log.read_text().split()

    return run


IN_ORDER = ["low/seed0", "high/seed0", "low/seed1", "high/seed1", "low/seed2", "high/seed2"]


def test_a_study_trains_seed_by_seed_and_writes_table_picture_and_page(
    larq_bcd_study, tmp_path
):
    status, printed, trained = larq_bcd_study()
    assert status == 0
    assert trained == IN_ORDER
    assert "Training 1 of 6: low, seed 0; 6 left.\n" in printed
    assert "Training 6 of 6: high, seed 2; 1 left, about 1 min." in printed
    output = tmp_path / "out"
    page = (output / "card.md").read_text()
    # +10, +11 and +9 points: 4.303 of their deviation of 1 over the root of 3.
    assert "| A high rate is better | high − low | 3 of 3 | +10.00 ± 2.48 | seen |" in page
    assert "| 3 of 3 | -10.00 ± 2.48 | the opposite is seen |" in page
    assert "| low | 20 | 3 of 3 | 60.00 ± 24.84 % |  |" in page
    assert "| high | 20 | 3 of 3 | 70.00 ± 23.70 % | +10.00 ± 2.48 |" in page
    assert "| high | `stages.0.schedule.peak: 0.1` |" in page
    assert f"larq-bcd study {tmp_path / 'rates'} --output {output}" in page
    assert f"larq-bcd train {tmp_path / 'rates' / 'recipe.yaml'} seed=0" in page
    assert "Not complete" not in page
    assert (output / "results.png").read_bytes().startswith(b"\x89PNG")
    low, high = csv.DictReader((output / "results.csv").open())
    assert (low["variant"], low["bops"], low["flops"], low["seeds"]) == (
        "low",
        "640",
        "10",
        "3",
    )
    assert low["difference"] == low["difference_low"] == ""
    assert float(high["accuracy_seed1"]) == 0.71
    assert float(high["difference_low"]) == pytest.approx(0.1 - 0.024841, abs=1e-5)
    assert float(high["difference_high"]) == pytest.approx(0.1 + 0.024841, abs=1e-5)
    assert "+10.00 ± 2.48" in printed

    status, printed, trained = larq_bcd_study()
    assert (status, trained) == (0, []), "what is done is not done again"
    assert "+10.00 ± 2.48" in printed


def test_a_claim_that_noise_explains_is_not_seen(larq_bcd_study, tmp_path):
    larq_bcd_study(high_seed1=0.55)
    page = (tmp_path / "out" / "card.md").read_text()
    assert page.count("not seen at this size |") == 2


def test_a_training_that_dies_is_named_and_tried_again(larq_bcd_study, tmp_path):
    status, printed, trained = larq_bcd_study(low_seed0="dies", high_seed1="diverges")
    assert status == 1
    assert trained == IN_ORDER
    assert "low, seed 0, failed: it was killed by SIGKILL." in printed
    assert "high, seed 1, failed: its exit status is 2" in printed
    page = (tmp_path / "out" / "card.md").read_text()
    assert "**Not complete: 4 of 6 trainings are done.**" in page
    # Of seed 2 alone there are both.
    assert "| high − low | 1 of 3 | +9.00 | not known yet |" in page
    assert "| low | 20 | 2 of 3 |" in page

    status, printed, trained = larq_bcd_study()
    assert status == 0
    assert trained == ["low/seed0", "high/seed1"]
    assert "Training 5 of 6: low, seed 0, from step 7; 2 left" in printed


def test_an_interval_of_some_seeds_is_called_preliminary(larq_bcd_study, tmp_path):
    larq_bcd_study(low_seed2="dies")
    page = (tmp_path / "out" / "card.md").read_text()
    # +10 and +11: 12.706 of their deviation of 0.707 over the root of 2.
    assert "| 2 of 3 | +10.50 ± 6.35 | seen so far |" in page


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_reaches_the_training_and_ends_the_study(larq_bcd_study, tmp_path, name):
    status, printed, trained = larq_bcd_study(high_seed0=f"study gets {name}")
    assert status == 128 + signal.Signals[name]
    assert trained == ["low/seed0", "high/seed0"]
    assert (tmp_path / "out" / "high" / "seed0" / "asked").exists()
    assert "Stopped. The same command goes on from here" in printed
    status, _, trained = larq_bcd_study()
    assert (status, trained) == (0, IN_ORDER[1:])


def test_a_second_interrupt_ends_the_training_at_once(larq_bcd_study, tmp_path):
    status, printed, _ = larq_bcd_study(high_seed0="study gets SIGINT twice")
    assert status == 128 + signal.SIGINT
    assert not (tmp_path / "out" / "high" / "seed0" / "asked").exists()
    assert "Stopped. The same command goes on from here" in printed


def test_a_training_that_is_asked_to_stop_stops_the_study(larq_bcd_study):
    status, _, trained = larq_bcd_study(low_seed1="is stopped")
    assert status == 128 + signal.SIGINT
    assert trained == IN_ORDER[:3]


def test_a_dry_run_lists_what_is_left_and_trains_nothing(larq_bcd_study, tmp_path):
    status, printed, trained = larq_bcd_study("--dry-run")
    assert (status, trained) == (0, [])
    assert printed.count("to do") == 6
    assert "6 of 6 left.\n" in printed
    assert not (tmp_path / "out").exists()
    larq_bcd_study(high_seed2="dies")
    status, printed, trained = larq_bcd_study("--dry-run")
    assert (status, trained) == (0, [])
    assert "done, 71.00%" in printed
    assert "begun, 7 steps" in printed
    assert "1 of 6 left, about 1 min.\n" in printed


def test_the_folder_of_a_study_refuses_another(larq_bcd_study, study):
    larq_bcd_study()
    plain = STUDY.partition("claims:")[0]
    for old, new, message in (
        ("peak: 0.1", "peak: 0.2", "whose variant 'high' differs in stages.0.schedule.peak:"),
        ("high: {", "higher: {", "holds another study, with a variant 'high'"),
        ("[0, 1, 2]", "[0, 1]", "holds another study, which has seed2 of 'high'"),
    ):
        (study / "study.yaml").write_text(plain.replace(old, new))
        status, printed, trained = larq_bcd_study()
        assert (status, trained) == (2, [])
        assert message in printed
        assert "give another --output, or remove the folder" in printed
    (study / "study.yaml").write_text(plain)
    assert larq_bcd_study()[0] == 0


def test_the_folder_of_a_training_is_refused(larq_bcd_study, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recipe.yaml").touch()
    status, printed, _ = larq_bcd_study()
    assert status == 2
    assert "holds a training, and no study" in printed


def test_seeds_and_variants_may_be_added(larq_bcd_study, study):
    (study / "study.yaml").write_text(STUDY.replace("[0, 1, 2]", "[0]"))
    assert larq_bcd_study()[2] == IN_ORDER[:2]
    more = STUDY.replace("[0, 1, 2]", "[0, 1]").replace("low: {}", "low: {}\n  mid: {}")
    (study / "study.yaml").write_text(more)
    status, _, trained = larq_bcd_study(mid_seed0=0.5, mid_seed1=0.5)
    assert status == 0
    assert trained == ["mid/seed0", "low/seed1", "mid/seed1", "high/seed1"]


def test_a_folder_in_use_is_refused(larq_bcd_study, tmp_path):
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status, printed, trained = larq_bcd_study()
    assert (status, trained) == (2, [])
    assert "is in use by the same command" in printed


def test_data_that_are_not_there_are_named_before_anything_is_trained(larq_bcd_study, tmp_path):
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    status, printed, trained = larq_bcd_study()
    assert (status, trained) == (2, [])
    assert f"{tmp_path / 'data'}' does not exist: check its path" in printed
    # Images that have moved are the same images.
    status, _, trained = larq_bcd_study(f"data.name={tmp_path / 'elsewhere'}")
    assert (status, len(trained)) == (0, 6)


def test_damaged_results_are_named(larq_bcd_study, tmp_path):
    damaged = tmp_path / "out" / "low" / "seed1" / "results.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    status, printed, _ = larq_bcd_study()
    assert status == 2
    assert "low/seed1/results.json is damaged: remove it" in printed


def test_a_real_training_that_was_killed_goes_on(study, tmp_path, monkeypatch, capfd):
    one = STUDY.partition("claims:")[0].replace("[0, 1, 2]", "[5]")
    (study / "study.yaml").write_text(one.replace("  high: {stages.0.schedule.peak: 0.1}", ""))
    monkeypatch.setattr(trainings, "TRAIN", (sys.executable, str(TINY), "train"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    output = tmp_path / "out"
    command = ["study", str(study), "--output", str(output)]
    monkeypatch.setenv("KILL_AT_STEP", "3")
    assert main.larq_bcd(command) == 1
    assert "low, seed 5, failed: it was killed by SIGKILL" in capfd.readouterr().out
    assert not (output / "card.md").exists()
    monkeypatch.delenv("KILL_AT_STEP")
    assert main.larq_bcd(command) == 0
    printed = capfd.readouterr().out
    assert "Training 1 of 1: low, seed 5, from step 2; 1 left." in printed
    assert "Going on from step 2" in printed
    results = json.loads((output / "low" / "seed5" / "results.json").read_text())
    (row,) = csv.DictReader((output / "results.csv").open())
    assert float(row["accuracy"]) == results["stages"][-1]["last"]["val_accuracy"]
    assert float(row["ops"]) == results["cost"]["ops"] > 0
    assert "seed: 5" in (output / "low" / "seed5" / "recipe.yaml").read_text()
