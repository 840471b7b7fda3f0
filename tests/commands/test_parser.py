import itertools

import pytest

from larq_bcd.commands.declared import COMMANDS, LCE_CONVERT


def parsed(command, *words):
    return command.parser().parse(words)


@pytest.fixture
def refused(capsys):
    """The line that refuses the arguments of a command."""

    def run(command, *words):
        with pytest.raises(SystemExit) as end:
            parsed(command, *words)
        assert end.value.code == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert err.startswith(f"{command.name}: error: ")
        assert err.endswith(f"see {command.name} --help\n")
        return err

    return run


def test_options_names_and_settings_stand_in_any_order():
    parts = [
        ["R"],
        ["batch_size=24"],
        ["--output", "X"],
        ["--strategy=none", "stages.*.epochs=1"],
    ]
    for order in itertools.permutations(parts):
        arguments = parsed(COMMANDS["train"], *itertools.chain(*order))
        assert arguments.recipe == "R"
        assert sorted(arguments.settings) == ["batch_size=24", "stages.*.epochs=1"]
        assert (str(arguments.output), arguments.strategy) == ("X", "none")


def test_settings_keep_their_order():
    words = ["a=1", "--strategy", "none", "R", "a=2", "--", "a=3"]
    assert parsed(COMMANDS["train"], *words).settings == ["a=1", "a=2", "a=3"]


def test_names_keep_their_order_whatever_they_look_like():
    arguments = parsed(COMMANDS["explain"], "-o", "a.png", "a=b.keras", "--layer", "x", "c.jpg")
    assert (arguments.model, str(arguments.image)) == ("a=b.keras", "c.jpg")
    arguments = parsed(COMMANDS["explain"], "-o", "a.png", "--", "-m.keras", "c.jpg")
    assert arguments.model == "-m.keras"


def test_a_value_may_look_like_a_setting():
    assert str(parsed(COMMANDS["train"], "R", "--output", "lr=1").output) == "lr=1"


@pytest.mark.parametrize(
    "values",
    [
        ["0.5,0.25,-1"],
        ["0.5, 0.25, -1"],
        ["0.5 0.25 -1"],
        ["0.5", "0.25", "-1"],
        ["0.5,", "0.25,", "-1"],
        ["0.5", ",0.25,", "-1"],
    ],
)
@pytest.mark.parametrize("name", ["evaluate", "explain", "lce_convert"])
def test_lists_have_commas_or_blanks(name, values):
    command = LCE_CONVERT if name == "lce_convert" else COMMANDS[name]
    rest = ["photo.png", "-o", "a.png"] if name == "explain" else []
    rest = ["-o", "a.tflite"] if name == "lce_convert" else rest
    for words in (["--mean", *values, "m.keras", *rest], ["m.keras", *rest, "--mean", *values]):
        arguments = parsed(command, *words)
        assert arguments.mean == (0.5, 0.25, -1)
        assert arguments.model == "m.keras"


@pytest.mark.parametrize("words", [["sums,gains"], ["sums", "gains"], ["sums,", "gains"]])
def test_lists_of_names_end_where_another_word_begins(words):
    arguments = parsed(LCE_CONVERT, "-o", "a.tflite", "--passes", *words, "m.keras")
    assert arguments.passes == ("sums", "gains")
    assert arguments.model == "m.keras"


def test_all_passes_or_none_can_be_chosen():
    from larq_bcd.convert.passes import PASSES

    assert parsed(LCE_CONVERT, "m", "-o", "a").passes == tuple(PASSES)
    assert parsed(LCE_CONVERT, "m", "-o", "a", "--passes", "all").passes == tuple(PASSES)
    assert parsed(LCE_CONVERT, "m", "-o", "a", "--passes", "none").passes == ()


@pytest.mark.parametrize("words", [["-3", "3"], ["-3,3"], ["-3.0, 3"]])
def test_a_range_may_begin_below_0(words):
    found = parsed(LCE_CONVERT, "m", "-o", "a", "--default-int8-range", *words)
    assert found.default_int8_range == (-3.0, 3.0)


def test_what_summary_prints_is_what_can_be_chosen():
    from larq_bcd.summary.render import FORMATS

    for name in FORMATS:
        assert parsed(COMMANDS["summary"], "m", "--format", name).format == name


@pytest.mark.parametrize("words", [["-oX.tflite"], ["-o=X.tflite"], ["--out", "X.tflite"]])
def test_options_may_be_short(words):
    assert str(parsed(LCE_CONVERT, "m", *words).output) == "X.tflite"


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("train", ["R", "--ouput", "X"], "no option --ouput, did you mean '--output'?"),
        ("train", ["--ouput=X"], "no option --ouput, did you mean '--output'?"),
        ("train", ["R", "-x"], "no option -x"),
        ("train", ["R", "S"], "'S' has not the form KEY=VALUE"),
        ("train", ["a=1"], "RECIPE: 'a=1' is a setting"),
        ("train", ["R", "--output"], "--output needs a value"),
        ("train", ["R", "--output", "--strategy", "none"], "--output needs a value"),
        ("train", [], "required: RECIPE; see"),
        ("show", ["a", "--version=1"], "ignored explicit argument '1'"),
        ("train", ["R", "--strategy", "mirored"], "invalid choice: 'mirored'"),
        ("evaluate", [], "required: MODEL"),
        ("evaluate", ["m", "--mean"], "--mean needs a value"),
        ("evaluate", ["m", "--mean", "a", "b"], "'a' are not numbers"),
        ("evaluate", ["m", "--batch-size", "many"], "'many' is not a whole number"),
        ("evaluate", ["m", "--batch-size", "0"], "0 is below 1"),
        (
            "evaluate",
            ["m", "--confusion", "a.xyz"],
            "a.xyz needs another suffix: name it a.png",
        ),
        ("import", ["a.pth", "--model", "BCDNetA"], "required: -o/--output"),
        ("show", ["a", "b"], "unrecognized arguments: b"),
        ("models", ["--force"], "no option --force"),
    ],
)
def test_a_fault_is_one_line_that_points_to_the_help(refused, name, words, message):
    assert message in refused(COMMANDS[name], *words)


@pytest.mark.parametrize(
    ("passes", "message"),
    [
        ("speed", "there is no 'speed', use all, none, common,"),
        ("gians", "did you mean 'gains'?"),
        ("all,sums", "all or none beside other names"),
    ],
)
def test_passes_that_there_are_not_are_refused(refused, passes, message):
    assert message in refused(LCE_CONVERT, "m", "-o", "a", "--passes", passes)


def test_what_exists_needs_force(tmp_path, monkeypatch, capsys):
    from larq_bcd.commands.main import run

    monkeypatch.chdir(tmp_path)
    for name, words in {
        "evaluate": ["m.keras", "--dataset", "d", "--json", "old.json"],
        "import": ["a.pth", "--model", "Nothing", "-o", "old.keras"],
        "explain": ["m.keras", "photo.png", "-o", "old.png"],
        "lce_convert": ["m.keras", "-o", "old.tflite"],
    }.items():
        command = LCE_CONVERT if name == "lce_convert" else COMMANDS[name]
        (tmp_path / words[-1]).write_text("old")
        assert run(command, words) == 2
        assert f"{words[-1]} exists: choose another name, or --force" in capsys.readouterr().err
        # With it, the fault is another one: the input does not exist.
        assert run(command, [*words, "--force"]) == 2
        assert "exists: choose" not in capsys.readouterr().err
        assert (tmp_path / words[-1]).read_text() == "old"


def test_two_results_in_one_file_are_refused(tmp_path, monkeypatch, capsys):
    from larq_bcd.commands.main import run

    monkeypatch.chdir(tmp_path)
    words = ["m.keras", "--dataset", "d", "--json", "a.png", "--confusion", "./a.png"]
    assert run(COMMANDS["evaluate"], words) == 2
    assert "--json and --confusion are both a.png: name two files" in capsys.readouterr().err
