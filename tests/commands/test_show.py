import pytest
import tensorflow as tf

from larq_bcd.commands.main import larq_bcd
from larq_bcd.convert import FileOptions, convert
from larq_bcd.data.preprocessing import Description, Preprocessing

layers = tf.keras.layers
IMAGES = Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3, resize=None)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """What is shown of a file of an image and a vector, and two outputs."""
    path = tmp_path_factory.mktemp("show") / "model.tflite"
    image, vector = tf.keras.Input((8, 8, 3), name="photo"), tf.keras.Input((3,), name="age")
    x = layers.Concatenate()([layers.Flatten()(image), vector])
    outputs = [layers.Dense(2, name="second")(x), layers.Dense(4, name="first")(x)]
    model = tf.keras.Model([vector, image], outputs)
    path.write_bytes(
        convert(model, options=FileOptions(description=Description(IMAGES))).content
    )

    def shown(capsys):
        assert larq_bcd(["show", str(path)]) == 0
        return capsys.readouterr().out.splitlines()

    return shown


def test_inputs_and_outputs_are_shown_by_the_names_of_the_signature(lines, capsys):
    found = lines(capsys)
    assert [line for line in found if line.startswith(("input", "output"))] == [
        "input       age [1, 3] float32",
        "input       photo [1, 8, 8, 3] float32",
        "output      second [1, 2] float32",
        "output      first [1, 4] float32",
    ]


def test_of_several_inputs_the_image_is_named(lines, capsys):
    (image,) = [line for line in lines(capsys) if line.startswith("image")]
    assert image == "image       photo: Image, resized to 8x8; pixels of 0 to 255."
