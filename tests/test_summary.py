import csv
import io
import json

import larq as lq
import pytest
import tensorflow as tf

from larq_bcd import activations, layers
from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.errors import UserError
from larq_bcd.layers import QuantConv2D, RSign
from larq_bcd.models import BCDNetA, BinaryCCT7, blocks, list_models, model_info
from larq_bcd.models.blocks import Binarization
from larq_bcd.summary import Cost, cost, summarize
from larq_bcd.summary.render import FORMATS, as_table

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def network(build, shape=(8, 8, 4)):
    image = tf.keras.Input(shape)
    return tf.keras.Model(image, build(image))


@pytest.mark.parametrize(
    ("name", "bops", "flops", "ops"),
    [
        ("ReActNetA", "4.82", "0.12", "0.87"),
        ("ReActNetB", "4.69", "0.44", "1.17"),
        ("ReActNetC", "4.69", "1.40", "2.14"),
        ("BCDNetA", "4.82", "0.12", "0.87"),
        ("BCDNetB", "4.82", "0.14", "0.89"),
    ],
)
def test_costs_are_those_of_the_paper_s_table_to_the_last_digit(name, bops, flops, ops):
    info = model_info(name)  # of which another test compares the built network
    printed = f"{info.bops / 1e9:.2f}", f"{info.flops / 1e8:.2f}", f"{info.ops / 1e8:.2f}"
    assert printed == (bops, flops, ops)


@pytest.mark.parametrize("name", ["ReActNet18", "BCDNetA18", "BCDNetB18", "DyBCNN18"])
def test_networks_on_resnet_18_have_the_paper_s_binary_operations(name):
    assert model_info(name).bops == 1_676_279_808


@pytest.mark.parametrize(
    ("bi_mlps", "printed"), [(0, "3.813"), (1, "1.505"), (2, "3.011"), (3, "4.516")]
)
def test_a_block_of_the_ablation_has_the_paper_s_full_cost(bi_mlps, printed):
    """Table 5: two units of 512 channels at 7x7, convolutions or BiMLPs."""

    def unit(x, name):
        if not bi_mlps:
            return blocks.residual(
                x, lambda x: blocks.binary_conv(x, 512, 3, 1, how, name), how, name
            )
        for i in range(bi_mlps):
            x = blocks.bi_mlp(x, (1, "half"), how, f"{name}_{i}")
        return x

    how = Binarization()
    model = network(lambda x: unit(unit(x, "a"), "b"), (7, 7, 512))
    assert f"{cost(model).full_ops / 1e6:.3f}" == printed


@pytest.mark.parametrize(
    ("build", "bops", "flops", "binary"),
    [
        (lambda x: lq.layers.QuantConv2D(6, 3, groups=2, **BINARY)(x), 3888, 0, 108),
        (lambda x: QuantConv2D(6, 1, kernel_quantizer="ste_sign")(RSign()(x)), 1536, 0, 24),
        (lambda x: QuantConv2D(6, 1, kernel_quantizer="ste_sign")(x), 0, 1536, 0),
        (lambda x: QuantConv2D(6, 1, input_quantizer="ste_sign")(x), 0, 1536, 0),
        (
            lambda x: lq.layers.QuantDense(5, **BINARY)(tf.keras.layers.Flatten()(x)),
            1280,
            0,
            1280,
        ),
        (lambda x: tf.keras.layers.DepthwiseConv2D(3, 2)(x), 0, 324, 0),
        (lambda x: tf.keras.layers.SeparableConv2D(2, 3)(x), 0, 1296 + 288, 0),
        (lambda x: tf.keras.layers.Conv2DTranspose(2, 2, 2)(x), 0, 2048, 0),
        (lambda x: tf.keras.layers.Dense(5)(x), 0, 1280, 0),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_products_are_counted(build, bops, flops, binary):
    counted = cost(network(build))
    assert (counted.bops, counted.flops, counted.binary_parameters) == (bops, flops, binary)


@pytest.mark.parametrize(
    ("layer", "flops"),
    [
        (lambda x: tf.keras.layers.Conv2D(2, 3, activation="relu")(x), 2 * 72),
        (lambda x: tf.keras.layers.Conv2D(2, 3, use_bias=False)(x), 0),
        (lambda x: tf.keras.layers.BatchNormalization()(x), 256),
        (lambda x: tf.keras.layers.ReLU()(x), 256),
        (lambda x: tf.keras.layers.PReLU(shared_axes=[1, 2])(x), 256),
        (lambda x: tf.keras.layers.Add()([x, x, x]), 2 * 256),
        (lambda x: tf.keras.layers.AveragePooling2D(4)(x), 16 * 16),
        (lambda x: layers.MaxPooling2D(3, 2, "symmetric")(x), 9 * 64),
        (lambda x: tf.keras.layers.GlobalAveragePooling2D()(x), 256),
        (lambda x: tf.keras.layers.Concatenate()([x, x]), 0),
        (lambda x: layers.SpatialShift(1)(x), 0),
        (lambda x: layers.LearnableBias()(x), 256),
        (lambda x: RSign()(x), 256),
        (lambda x: activations.RPReLU()(x), 256),
        (lambda x: activations.DynamicRPReLU()(x), 2 * 256),
        (lambda x: layers.DynamicThreshold()(x), 2 * 256),
        (lambda x: layers.DySign()(x), 2 * 256),
        (lambda x: layers.DynamicThresholdQuantConv2D(2, 3, use_bias=False)(x), 2 * 256 + 72),
        (lambda x: layers.QuantShiftMLP(4)(x), 2 * 256),
        (lambda x: layers.InformationRecoupling()([x, x]), 4 * 256),
        (lambda x: layers.QuantAttention(2)([x, x, x]), 3 * 2 * 64**2),
        (lambda x: layers.QuantAttention(2, None)([x, x, x]), 2 * 2 * 64**2),
        (lambda x: layers.PositionEmbedding()(x), 256),
        (lambda x: layers.SequencePooling()(x), 64),
        (lambda x: layers.GroupAverage(2)(x), 256),
    ],
)
def test_work_on_single_elements_is_counted(layer, flops):
    assert cost(network(layer)).elementwise == flops


def test_of_two_averaged_heads_the_second_costs_no_operations():
    def build(x):
        x = tf.keras.layers.GlobalAveragePooling2D()(x)
        return tf.keras.layers.Average()([tf.keras.layers.Dense(3)(x) for _ in range(2)])

    counted = cost(network(build))
    assert (counted.flops, counted.elementwise, counted.parameters) == (12, 256 + 3, 30)


def test_a_layer_called_twice_works_twice_and_is_held_once():
    layer = tf.keras.layers.Conv2D(4, 1, use_bias=False)
    counted = cost(network(lambda x: layer(layer(x))))
    assert (counted.flops, counted.parameters) == (2 * 64 * 16, 16)


def test_models_in_models_are_counted_by_layer():
    inner = network(lambda x: tf.keras.layers.Conv2D(4, 1, use_bias=False, name="conv")(x))
    inner._name = "inner"
    summary = summarize(network(lambda x: inner(inner(x))))
    [conv] = [layer for layer in summary.layers if layer.name == "inner/conv"]
    assert (conv.cost.flops, conv.cost.parameters) == (2 * 64 * 16, 16)


def block_of_layers(layer_class=tf.keras.layers.Layer):
    """A class of a user's, without a get_config, with a weight beside its layers."""

    class Block(layer_class):
        def __init__(self, filters, **kwargs):
            super().__init__(**kwargs)
            self.conv = QuantConv2D(filters, 3, padding="same", use_bias=False, **BINARY)
            self.mlp = layers.QuantShiftMLP(filters, 1, 1)
            self.norms = [tf.keras.layers.BatchNormalization() for _ in range(2)]
            self.scale = self.add_weight("scale", shape=(filters,), initializer="ones")

        def call(self, inputs, training=None):
            x = self.norms[0](self.conv(inputs), training=training)
            return inputs + self.scale * self.norms[1](self.mlp(x))

    return Block


def test_a_layer_made_of_layers_is_counted_by_them():
    block = block_of_layers()
    plain = network(lambda x: block(4, name="second")(block(4, name="first")(x)))
    summary = summarize(plain)
    costs = {layer.name: layer.cost for layer in summary.layers}
    for name in ("first", "second"):
        inside = {key: value for key, value in costs.items() if key.startswith(f"{name}/")}
        assert sum(c.parameters for c in inside.values()) == 9 * 16 + 3 * 16 + 2 * 8
        assert sum(c.bops for c in inside.values()) == 64 * (9 * 16 + 3 * 16)
        assert costs[name].parameters == 4
    binary = [c.binary_parameters for c in costs.values() if c.binary_parameters]
    assert binary == [9 * 16, 3 * 16] * 2
    assert summary.total.parameters == sum(map(tf.size, plain.trainable_weights))


def test_a_model_of_a_class_of_its_own_is_counted_as_soon_as_it_was_called():
    model = block_of_layers(tf.keras.Model)(4)
    with pytest.raises(UserError, match="has no inputs yet: call it once on an image"):
        cost(model)
    model(tf.zeros((1, 8, 8, 4)))
    assert cost(model).bops == 64 * (9 * 16 + 3 * 16)
    assert cost(model).parameters == sum(map(tf.size, model.trainable_weights))


@pytest.mark.parametrize("kind", [tf.keras.layers.Layer, tf.keras.Model])
def test_the_names_of_functions_do_not_depend_on_what_was_opened_before(kind):
    model = block_of_layers(kind)(4)
    if kind is tf.keras.layers.Layer:
        model = network(model)
    else:
        model(tf.zeros((1, 8, 8, 4)))
    before = summarize(model)
    assert any("tf." in layer.name for layer in before.layers)
    assert summarize(model) == before


def test_a_call_that_takes_no_symbolic_tensors_is_told():
    class Branching(tf.keras.layers.Layer):
        def __init__(self):
            super().__init__(name="branching")
            self.dense = tf.keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs) if tf.reduce_sum(inputs) > 0 else inputs[..., :2]

    with pytest.raises(UserError, match=r"'branching' is not known: the call of Branching"):
        cost(network(Branching()))


def test_few_operations_are_written_out_and_not_rounded_to_nothing():
    summary = summarize(network(tf.keras.layers.Conv2D(3, 3)))
    macs = 6 * 6 * 9 * 4 * 3
    assert f"{macs:,} OPs" in repr(summary)
    assert f"= {macs:,}\n" in f"{summary}\n"
    assert "0.00e8" not in f"{summary}{summary!r}{summary._repr_html_()}"


def test_what_is_frozen_costs_the_same():
    model = BCDNetA(**model_info("BCDNetA").reduced)
    before = summarize(model)
    model.trainable = False
    assert summarize(model) == before
    model.trainable = True
    for layer in model.layers:
        if isinstance(layer, layers.QuantShiftMLP):
            layer.pointwise.trainable = False
    assert summarize(model) == before


def test_memory_takes_one_bit_for_a_binary_parameter():
    assert Cost(parameters=100, binary_parameters=90, other_variables=5).memory == 12 + 4 * 15


def test_layers_that_a_conversion_leaves_in_float_are_marked_and_counted():
    summary = summarize(BinaryCCT7(**model_info("BinaryCCT7").reduced))
    marked = [layer for layer in summary.layers if layer.reason_for_float]
    assert [layer.name for layer in marked] == ["block1_attention", "block2_attention"]
    moved = sum(layer.cost.bops for layer in marked)
    assert moved == 2 * 2 * 64**2 * 16
    assert summary.shipped_ops == summary.total.ops + moved * 63 / 64
    for text in map(FORMATS["table"], [summary]):
        assert "block1_attention*" in text
        assert "multiplies activations with each other" in text


@pytest.mark.filterwarnings("ignore")
def test_a_dense_layer_of_plain_larq_is_marked_and_shipped_in_float():
    def build(x):
        x = lq.layers.QuantConv2D(8, 1, use_bias=False, **BINARY)(x)
        return lq.layers.QuantDense(5, **BINARY)(tf.keras.layers.Flatten()(x))

    summary = summarize(network(build))
    marked = [layer.type for layer in summary.layers if layer.reason_for_float]
    assert marked == ["QuantDense"]
    products, parameters = 64 * 8 * 5, 64 * 8 * 5 + 5
    assert summary.shipped_ops == 64 * 32 / 64 + products
    assert summary.total.memory == (32 + products) // 8 + 4 * 5
    assert summary.shipped_memory == 32 // 8 + 4 * parameters
    assert f"the memory {summary.shipped_memory:,}" in FORMATS["table"](summary)


def test_every_format_has_every_layer_and_the_same_figures():
    summary = summarize(BCDNetA(**model_info("BCDNetA").reduced))
    document = json.loads(FORMATS["json"](summary))
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](summary))))
    assert [layer["name"] for layer in document["layers"]] == [line["name"] for line in lines]
    assert sum(int(line["bops"]) for line in lines) == document["total"]["bops"]
    assert document["total"]["ops"] == summary.total.ops
    table = FORMATS["table"](summary)
    assert f"{summary.total.flops:,}" in table.splitlines()[-4]
    page = summary._repr_html_()
    assert page.count("<tr>") == len(table.splitlines()) - 5  # without rules, blank and notes
    assert f"<td>{summary.total.flops:,}</td>" in page
    assert "?" not in table


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_table_fits_the_terminal(width):
    summary = summarize(BCDNetA(**model_info("BCDNetA").reduced))
    table = as_table(summary, width).splitlines()
    rows = table[: table.index("")]
    assert max(map(len, rows)) <= width
    names = [row.split()[0] for row in rows[2:-2]]
    assert len(set(names)) == len(names)
    whole = as_table(summary).splitlines()[2:-5]
    for cut, row in zip(names, whole, strict=True):
        start, _, end = cut.partition("…")
        assert row.split()[0].startswith(start)
        assert row.split()[0].endswith(end)
    shown = [title.strip() for title in table[0].split("  ")]
    left_out = [text for text in table if text.startswith("Too wide")]
    assert bool(left_out) == ("full OPs" not in shown)


def test_a_summary_shows_itself_in_a_line_and_prints_as_its_table():
    summary = summarize(BCDNetA(**model_info("BCDNetA").reduced))
    assert len(repr(summary)) < 120
    assert f"{summary.total.parameters:,} parameters" in repr(summary)
    assert str(summary) == as_table(summary)


def test_an_open_image_size_is_refused():
    with pytest.raises(UserError, match="build the network with a static input_shape"):
        cost(network(tf.keras.layers.Conv2D(2, 1), (None, None, 3)))


def test_a_layer_that_cannot_be_counted_is_named():
    class Foreign(tf.keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight("kernel", shape=(4, 4))

        def call(self, inputs):
            return inputs @ self.kernel

    with pytest.raises(UserError, match=r"'odd' is not known: Foreign"):
        cost(network(Foreign(name="odd")))


def test_the_command_prints_what_a_file_costs(tmp_path, capsys):
    model = network(lambda x: tf.keras.layers.Conv2D(2, 1, name="conv")(x))
    model.save(tmp_path / "model.keras")
    assert main(["summary", str(tmp_path / "model.keras"), "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["flops"] for line in lines if line["name"] == "conv"] == ["512"]


def test_the_command_names_what_there_is_instead_of_what_there_is_not(capsys):
    assert main(["summary", "BCDNetC"]) == 2
    error = capsys.readouterr().err
    assert "BCDNetC" in error
    assert "BCDNetB" in error


def test_the_command_lists_every_network(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines if line.split()}
    for name in list_models():
        info = model_info(name)
        assert str(info.paper) in rows[name]  # none is broken in two by its width
        assert f" {info.ops / 1e8:.2f}e8 " in rows[name]
        assert ("reconstructed" in rows[name]) == bool(info.reconstruction)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bcdnet_b", "did you mean 'BCDNetB'"),
        ("text.txt", "text.txt is not a Keras model"),
        ("model.tflite", "look at the file with larq-bcd show"),
        ("no/model.keras", "no/model.keras does not exist: give a .keras or .h5 file"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_bytes(b"no model")
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    assert main(["summary", name]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
