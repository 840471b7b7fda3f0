"""The rows of the table of what converts, each by its examples."""

from pathlib import Path

import pytest
import tensorflow as tf
from conversion_models import randomize
from what_converts import BINARY, FLOAT, NOTED, REFUSED, ROWS, WHOLE, examples, written

from larq_bcd.convert import CheckError, convert
from larq_bcd.convert.inputs import noise

layers = tf.keras.layers
ROOT = Path(__file__).parents[2]


def _rows(becomes, with_options=False):
    default = type(ROWS[0].options)()
    return tuple(
        row
        for row in ROWS
        if row.becomes == becomes and (row.options != default) == with_options
    )


@pytest.mark.parametrize(
    "rows",
    [_rows(BINARY), _rows(BINARY, with_options=True), _rows(NOTED), _rows(FLOAT)],
    ids=["binary", "binary by an option", "noted", "float"],
)
def test_layers_become_what_the_table_says(rows):
    image = tf.keras.Input((8, 8, 3))
    stem = layers.Conv2D(64, 1)(image)
    outputs = [layers.Flatten()(build(stem, name)) for name, _, build in examples(rows)]
    model = randomize(tf.keras.Model(image, layers.Concatenate()(outputs)))
    options = rows[0].options
    result = convert(model, noise(model, 1), options=options, allow_float_fallback=True)
    result.require_equal()
    for name, row, _ in examples(rows):
        about = [one for one in result.report.layers if name in one.name.split("/")[0]]
        if row.becomes == BINARY:
            about = [one for one in about if one.trains_as_binary]
        assert about, name
        ships_as = {one.ships_as for one in about}
        assert ships_as == {"binary" if row.becomes == BINARY else "float"}, row.what
        if row.becomes == FLOAT:
            assert about[0] in result.report.fallbacks, row.what
        assert row.reason in (about[0].reason or about[0].note or "")
    assert bool(result.report.fallbacks) == (rows[0].becomes == FLOAT)


def test_what_is_refused_is_said_to_be():
    rows = _rows(REFUSED)
    for name, row, build in examples(rows):
        image = tf.keras.Input((8, 8, 3))
        x = build(layers.Conv2D(64, 1)(image), name)
        result = convert(randomize(tf.keras.Model(image, x)), allow_float_fallback=True)
        with pytest.raises(CheckError, match=row.reason):
            result.require_equal()
    assert {row.becomes for row in ROWS} == {BINARY, FLOAT, NOTED, REFUSED}


@pytest.mark.parametrize("whole", WHOLE, ids=[whole.what for whole in WHOLE])
def test_models_become_what_the_table_says(whole):
    model = randomize(whole.build())
    result = convert(model, options=whole.options)
    result.require_equal()
    result.require_binary()
    ships_as = {layer.name: layer.ships_as for layer in result.report.layers}
    assert ships_as.get("binary", "binary") == "binary"
    assert {one.shape[0] for one in result.report.inputs} == {1}


def test_the_readme_has_the_table():
    page = (ROOT / "README.md").read_text()
    assert page == written(page), "run `make tables`"
