"""The networks of Larq Zoo, which others have written: converted, run and compared."""

import numpy as np
import pytest
from engine_files import binary_part, random_values
from larq_zoo.sota.quicknet import QuickNetFactory

from larq_bcd.convert import ConversionError, convert, load_model
from larq_bcd.convert.inputs import noise
from larq_bcd.convert.load.larq_zoo import list_networks
from larq_bcd.convert.load.random_weights import as_if_trained, set_statistics
from larq_bcd.tflite.engines import LCE, LCE_INDIRECT, RUNTIME, open_engine

# Which the networks' authors quantize to more than a bit: their file is float, as LCE's is.
_FLOAT = {"larq_zoo.literature.DoReFaNet"}
# Its Lambda layers refer to variables around them, which Keras does not save.
_NOT_READ_BY_KERAS = {"larq_zoo.literature.MeliusNet22"}


def test_a_network_converts_from_memory_and_as_a_file(tmp_path):
    model = as_if_trained(
        QuickNetFactory(
            section_blocks=(1, 1),
            section_filters=(32, 64),
            input_shape=(64, 64, 3),
            num_classes=10,
        ).build()
    )
    set_statistics(model, np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype("f"))
    result = convert(model, noise(model, 2))
    result.require_equal()
    result.require_binary()
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"model.{suffix}")
        loaded = load_model(tmp_path / f"model.{suffix}").model
        for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_all_fourteen_are_known_by_name():
    assert len(list_networks()) == 14


@pytest.mark.slow
@pytest.mark.parametrize("name", list_networks())
def test_every_network_is_what_keras_computes_and_its_binary_part_what_lce_does(
    name, tmp_path, rng
):
    zoo = load_model(name, random_weights=True)
    model = zoo.model
    inputs = noise(model, 2, zoo.described().preprocessing)
    result = convert(model, inputs, allow_float_fallback=name in _FLOAT)
    result.require_equal()
    if name not in _FLOAT:
        result.require_binary()
        # Float sums are in another order in LiteRT, which runs the rest.
        binary, given = binary_part(result.content)
        values = [random_values(value, rng) for value in given]
        ours, theirs = (
            open_engine(binary, 1, [engine]).predict(*values) for engine in (RUNTIME, LCE)
        )
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our.view(np.int32), their.view(np.int32))
    model.save(tmp_path / "model.keras")
    if name in _NOT_READ_BY_KERAS:
        with pytest.raises(ConversionError, match="Lambda"):
            load_model(tmp_path / "model.keras", trust_code=True)
        return
    # Some have Lambda layers.
    loaded = load_model(tmp_path / "model.keras", trust_code=True).model
    again = convert(loaded, inputs, allow_float_fallback=True, tolerance_factor=None)
    outputs = [
        open_engine(content, 1, [LCE_INDIRECT]).predict(*inputs)[0]
        for content in (result.content, again.content)
    ]
    np.testing.assert_array_equal(*outputs)
