import contextlib
import re
import zipfile

import h5py
import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import exact_kernel, randomize

from larq_bcd.errors import UserError
from larq_bcd.layers import DynamicThreshold, QuantShiftMLP
from larq_bcd.models import (
    BCDNetA,
    BCDNetA18,
    BCDNetB,
    BNextT,
    ReActNetA,
    _arguments,
    blocks,
    cct,
    copy_weights,
    get_model,
    model_info,
    resnet,
    with_training_heads,
)

MODELS = [BCDNetA, BCDNetB, ReActNetA]
SMALL = {
    "input_shape": (16, 16, 3),
    "num_classes": 5,
    "width": 0.125,
    "strides": (1, 1, 1, 1, 2, 2),
}


def images(rng, shape=(16, 16, 3), count=2):
    return rng.normal(size=(count, *shape)).astype(np.float32)


def train(network, batch, optimizer="adam", epochs=1):
    """Trains eagerly, for few steps the quicker way, and returns the losses."""
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer, loss, run_eagerly=True)
    labels = np.arange(len(batch)) % 5
    return network.fit(batch, labels, epochs=epochs, verbose=0).history["loss"]


@pytest.mark.parametrize("model", MODELS)
def test_stages_have_the_paper_s_shapes(model):
    network = model()
    shapes = [
        network.get_layer(f"block{block}_1x1_rprelu").output_shape[1:] for block in (1, 2, 4, 6)
    ]
    assert shapes == [(112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512)]
    assert network.get_layer("pool").input_shape[1:] == (7, 7, 1024)
    assert network.output_shape == (None, 1000)


def test_mlp_stage_is_three_times_three_bi_mlps_and_a_point():
    names = [layer.name for layer in BCDNetA(**SMALL).layers]
    mlps = [name for name in names if name.endswith("_shift_mlp")]
    assert mlps == [f"mlp{i}_{j}_shift_mlp" for i in (1, 2, 3) for j in (1, 2, 3)]
    points = [name for name in names if name.endswith("_point_conv")]
    assert points == ["mlp1_point_conv", "mlp2_point_conv", "mlp3_point_conv"]


@pytest.mark.parametrize("model", MODELS)
def test_settings_are_the_official_ones(model):
    network = model(**SMALL)
    norms = [x for x in network.layers if isinstance(x, tf.keras.layers.BatchNormalization)]
    assert {norm.epsilon for norm in norms} == {1e-5}
    assert {norm.momentum for norm in norms} == {0.9}
    slopes = [w.numpy() for w in network.weights if w.name.endswith("slope:0")]
    assert slopes
    assert all((slope == 0.25).all() for slope in slopes)
    kernels = [
        w.numpy() for w in network.weights if "block" in w.name and "conv/kernel" in w.name
    ]
    assert kernels
    assert all(kernel.min() >= 0 and kernel.max() <= 1e-3 for kernel in kernels)
    assert network.get_layer("block2_3x3_conv").get_config()["padding"] == "symmetric"


@pytest.mark.parametrize("pad_values", [0.0, 1.0])
@pytest.mark.parametrize("stride", [1, 2])
def test_doubling_react_block_equals_its_equations(rng, stride, pad_values):
    """The paper's block, with two separate 1x1 convolutions and batch norms, in NumPy."""
    inputs = tf.keras.Input((6, 6, 4))
    outputs = blocks.react_block(
        inputs, 8, stride, blocks.Binarization(pad_values=pad_values), "block"
    )
    model = tf.keras.Model(inputs, outputs)
    weights = {}
    for variable in model.weights:
        if variable.shape.rank == 4:
            variable.assign(exact_kernel(rng, variable.shape))
        elif "variance" in variable.name:
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        else:
            variable.assign(rng.normal(size=variable.shape))
        weights[variable.name[:-2]] = variable.numpy().astype(np.float64)

    def norm(x, name, half):
        gamma, beta, mean, variance = (
            weights[f"{name}/{part}"][half]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def rprelu(x, name):
        parts = ("bias_before", "slope", "bias_after")
        return reference.rprelu(x, *(weights[f"{name}/{part}"] for part in parts))

    x = images(rng, (6, 6, 4)).astype(np.float64)
    signs = reference.sign(x + weights["block_3x3_threshold/bias"])
    kernel = reference.scaled_sign(weights["block_3x3_conv/kernel"])
    y = reference.conv2d(signs, kernel, stride, (1, 1), pad_values)
    shortcut = x.reshape(2, 3, 2, 3, 2, 4).mean((2, 4)) if stride == 2 else x
    o = rprelu(norm(y, "block_3x3_bn", slice(None)) + shortcut, "block_3x3_rprelu")
    signs = reference.sign(o + weights["block_1x1_threshold/bias"])
    halves = []
    for half in (slice(0, 4), slice(4, 8)):
        kernel = reference.scaled_sign(weights["block_1x1_conv/kernel"][..., half])
        halves.append(norm(reference.conv2d(signs, kernel), "block_1x1_bn", half) + o)
    expected = rprelu(np.concatenate(halves, -1), "block_1x1_rprelu")
    np.testing.assert_allclose(model(x.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)


def test_bi_mlp_block_equals_its_equations(rng):
    inputs = tf.keras.Input((7, 7, 8))
    outputs = blocks.bi_mlp(inputs, (1, "half"), blocks.Binarization(), "mlp")
    model = tf.keras.Model(inputs, outputs)
    for variable in model.weights:
        if variable.shape.rank == 4:
            variable.assign(exact_kernel(rng, variable.shape))
        elif "variance" not in variable.name:
            variable.assign(rng.normal(size=variable.shape))
    weights = {v.name[:-2]: v.numpy().astype(np.float64) for v in model.weights}
    x = images(rng, (7, 7, 8)).astype(np.float64)
    kernels = [
        weights[f"mlp_shift_mlp/{branch}/kernel"]
        for branch in ("pointwise", "short_range", "long_range")
    ]
    y = reference.shift_mlp(x + weights["mlp_threshold/bias"], kernels, (1, 3))
    y = (y - weights["mlp_bn/moving_mean"]) / np.sqrt(1 + 1e-5)
    y = y * weights["mlp_bn/gamma"] + weights["mlp_bn/beta"]
    parts = ("bias_before", "slope", "bias_after")
    expected = reference.rprelu(y + x, *(weights[f"mlp_rprelu/{part}"] for part in parts))
    np.testing.assert_allclose(model(x.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)


def test_b_with_the_weights_of_a_computes_exactly_the_function_of_a(rng):
    a, b = BCDNetA(**SMALL), BCDNetB(**SMALL)
    randomize(a, rng)
    batch = images(rng)
    assert (a(batch).numpy() != b(batch).numpy()).any()
    copy_weights(a, b)
    np.testing.assert_array_equal(a(batch), b(batch))
    heads = with_training_heads(a)(batch), with_training_heads(b)(batch)
    np.testing.assert_array_equal(heads[0], heads[1])


def test_weights_of_the_first_step_start_the_second(rng):
    first = BCDNetB(kernel_quantizer=None, **SMALL)
    randomize(first, rng)
    second = BCDNetB(**SMALL)
    copy_weights(first, second)
    for ours, theirs in zip(second.weights, first.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def freeze_a_part(network):
    """Freezes one branch of each BiMLP, which Keras then lists behind the others."""
    for layer in network.layers:
        if isinstance(layer, QuantShiftMLP):
            layer.pointwise.trainable = False


@pytest.mark.parametrize("frozen", ["source", "target"])
def test_weights_go_to_the_part_that_they_are_of_whatever_is_frozen(rng, frozen):
    networks = {name: BCDNetB(**SMALL) for name in ("source", "target")}
    randomize(networks["source"], rng)
    freeze_a_part(networks[frozen])
    copy_weights(networks["source"], networks["target"])
    found, expected = (
        {weight.name: weight.numpy() for weight in networks[name].weights}
        for name in ("target", "source")
    )
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("target", ["model.h5", "weights.h5", "all.weights.h5"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_file_of_weights_is_read_by_their_names_whatever_is_frozen(
    rng, tmp_path, target, frozen
):
    reduced = model_info("BCDNetA").reduced
    network = BCDNetA(**reduced)
    randomize(network, rng)
    if frozen:
        freeze_a_part(network)
    (network.save_weights if "weights" in target else network.save)(tmp_path / target)
    batch = images(rng)
    loaded = BCDNetA(weights=tmp_path / target, **reduced)
    np.testing.assert_array_equal(loaded(batch), network(batch))


@pytest.mark.parametrize("target", ["model.h5", "model.keras"])
def test_a_saved_network_keeps_what_is_frozen(rng, tmp_path, target):
    network = BCDNetA(**model_info("BCDNetA").reduced)
    randomize(network, rng)
    freeze_a_part(network)
    network.save(tmp_path / target)
    loaded = tf.keras.models.load_model(tmp_path / target)
    mlps = [layer for layer in loaded.layers if isinstance(layer, QuantShiftMLP)]
    assert [mlp.pointwise.trainable for mlp in mlps] == [False] * len(mlps)
    assert all(mlp.short_range.trainable and mlp.long_range.trainable for mlp in mlps)
    batch = images(rng)
    np.testing.assert_array_equal(loaded(batch), network(batch))


def test_copying_between_networks_that_differ_lists_the_differences(rng):
    wide = BCDNetA(**{**SMALL, "num_classes": 7})
    narrow = BCDNetA(**SMALL)
    before = narrow.get_weights()
    with pytest.raises(ValueError, match=r"fc/kernel:0 has shape.*fc_dist/bias:0 has shape"):
        copy_weights(wide, narrow)
    others = r": block11_3x3_threshold is missing in the source; .*; and \d+ more\. Build both"
    with pytest.raises(ValueError, match=others) as error:
        copy_weights(narrow, ReActNetA(**SMALL))
    assert str(error.value).count("; ") == 5
    for weight, kept in zip(narrow.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_copying_to_a_network_that_shifts_by_another_distance_is_refused():
    arguments = model_info("BCDNetA").reduced
    source = BCDNetA(**arguments, long_range=1)
    copy_weights(source, BCDNetA(**{**arguments, "input_shape": (12, 12, 3)}))  # a map of 3x3
    wide = BCDNetA(**arguments)
    with pytest.raises(
        ValueError,
        match=r"mlp1_1_shift_mlp has long_range='half', which on its feature map of 4x4 is "
        r"not the 1 of the source; mlp1_2",
    ):
        copy_weights(source, wide)


def test_output_is_the_mean_of_the_two_heads(rng):
    model = BCDNetA(**SMALL)
    randomize(model, rng)
    batch = images(rng)
    first, second = with_training_heads(model)(batch)
    assert (first.numpy() != second.numpy()).any()
    np.testing.assert_allclose(model(batch), (first + second) / 2, rtol=1e-6)


def test_a_network_of_one_head_has_none_to_distil_into():
    with pytest.raises(ValueError, match=r"reactnet_a.*no heads 'fc' and 'fc_dist'"):
        with_training_heads(ReActNetA(**SMALL))


@pytest.mark.parametrize("model", MODELS)
def test_mixed_bfloat16_trains_without_nan(rng, model):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = model(**SMALL)
    assert {w.dtype for w in network.weights} == {tf.float32}
    assert np.isfinite(train(network, images(rng, count=8), epochs=2)).all()
    assert all(np.isfinite(w.numpy()).all() for w in network.weights)
    assert network(images(rng)).dtype == tf.float32


@pytest.mark.parametrize("target", ["model.h5", "saved_model"])
def test_older_formats_keep_every_bit(rng, tmp_path, target):
    network = BCDNetB(**model_info("BCDNetB").reduced)
    randomize(network, rng, scale=0.1)
    network.save(tmp_path / target)
    batch = images(rng)
    loaded = tf.keras.models.load_model(tmp_path / target)
    np.testing.assert_array_equal(loaded(batch), network(batch))


@pytest.mark.parametrize("target", ["model.keras", "model.h5", "model.weights.h5"])
def test_weights_come_from_a_file(rng, tmp_path, target):
    reduced = model_info("BCDNetA").reduced
    network = BCDNetA(**reduced)
    randomize(network, rng)
    path = tmp_path / target
    (network.save_weights if "weights" in target else network.save)(path)
    loaded = BCDNetA(weights=path, **reduced)
    batch = images(rng)
    np.testing.assert_array_equal(loaded(batch), network(batch))


def test_without_top_the_features_are_returned():
    assert BCDNetA(**SMALL, include_top=False).output_shape == (None, 4, 4, 128)


@pytest.mark.parametrize("model", MODELS)
def test_any_image_size_gives_the_static_result(rng, model):
    static = model(**SMALL)
    randomize(static, rng, scale=0.1)
    dynamic = model(**{**SMALL, "input_shape": (None, None, 3)})
    dynamic.set_weights(static.get_weights())
    batch = images(rng)
    np.testing.assert_array_equal(
        dynamic.predict(batch, verbose=0), static.predict(batch, verbose=0)
    )


def test_an_input_tensor_takes_the_place_of_the_image(rng):
    raw = tf.keras.Input((16, 16, 3), name="camera")
    scaled = tf.keras.layers.Rescaling(2.0)(raw)
    arguments = {key: value for key, value in SMALL.items() if key != "input_shape"}
    model = BCDNetA(input_tensor=scaled, **arguments)
    plain = BCDNetA(**SMALL)
    plain.set_weights(model.get_weights())
    batch = images(rng)
    assert model.input_names == ["camera"]
    np.testing.assert_array_equal(model(batch), plain(2 * batch))


def test_ranges_of_the_ablation_exist(rng):
    layer = BCDNetA(**SMALL, short_range="half").get_layer("mlp1_1_shift_mlp")
    assert (layer.short_shift.shift, layer.long_shift.shift) == ("half", "half")
    layer = BCDNetA(**SMALL, long_range=1).get_layer("mlp1_1_shift_mlp")
    assert (layer.short_shift.shift, layer.long_shift.shift) == (1, 1)


@pytest.mark.parametrize(
    ("size", "strides"), [(16, (1, 1, 1, 1, 2, 2)), (32, (1, 1, 1, 2, 2, 2))]
)
def test_strides_keep_four_by_four_in_the_mlp_stage(size, strides):
    arguments = {**SMALL, "input_shape": (size, size, 3), "strides": strides}
    model = BCDNetB(**arguments)
    assert model.get_layer("mlp1_1_shift_mlp").output_shape[1:3] == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (16, 16)}, r"input_shape=\(16, 16\).*\(height, width, channels\)"),
        ({"input_tensor": np.zeros((1, 16, 16, 3))}, r"input_tensor is a ndarray"),
        ({"width": 0}, r"width=0 is not supported"),
        ({"strides": (2, 2)}, r"strides=\(2, 2\).*pass 6 numbers"),
        ({"strides": (3, 1, 1, 1, 1, 1)}, r"strides=\(3.*each 1 or 2"),
        ({"num_classes": 0}, r"num_classes=0 is not supported"),
        ({"blocks": (1, 2)}, r"blocks=\(1, 2\) is not supported: pass 5 positive integers"),
        ({"mlp_blocks": 0}, r"mlp_blocks=0 is not supported"),
        ({"threshold": "learned"}, r"threshold='learned' .*'zero', 'static', 'contextual'"),
        ({"activation": "relu"}, r"activation='relu' is not supported"),
        ({"weights": "imagenet"}, r"weights='imagenet' is neither a file nor a published"),
        ({"weights": "no.pth"}, r"weights='no\.pth' is neither .*PyTorch checkpoint \(\.pth,"),
        ({"input_shape": (32, 32, 3)}, r"of 1x1 .*pass \(1, 1, 1, 2, 2, 2\), which leave 4x4"),
        ({"weights": b"a.h5"}, r"weights=b'a\.h5' is a bytes: pass the path to a file"),
        ({"weights": True}, r"weights=True is a bool: pass the path to a file"),
        ({"weights": "/"}, r"weights='/' is a folder: pass the path to a \.h5"),
        ({"long_range": 7}, r"shift=7 is not smaller than the height"),
    ],
)
def test_an_argument_out_of_range_is_named_with_the_remedy(arguments, message):
    small = {} if "input_shape" in arguments or "long_range" in arguments else SMALL
    with pytest.raises(ValueError, match=message):
        BCDNetA(**{**small, **arguments})


def no_hdf5(path):
    path.with_suffix(".h5").write_text("text")
    return path.with_suffix(".h5")


def dense(units):
    return tf.keras.Sequential([tf.keras.layers.Dense(units, input_shape=(3,))])


def half_of_an_archive(path):
    dense(2).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    return path


def another_network(path):
    tf.keras.Sequential([tf.keras.layers.PReLU(input_shape=(3,))]).save(path)
    return path


def another_width(path):
    dense(3).save_weights(path.with_suffix(".weights.h5"))
    return path.with_suffix(".weights.h5")


@pytest.mark.parametrize("make", [no_hdf5, half_of_an_archive, another_network, another_width])
def test_weights_of_another_kind_are_one_sentence(make, tmp_path):
    path = make(tmp_path / "file.keras")
    message = re.escape(f"weights={str(path)!r} cannot be loaded (")
    with pytest.raises(UserError, match=message + ".*built with the same arguments"):
        _arguments.load_weights(dense(2), path, {}, None)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_weights_that_lie_in_another_file_are_refused(tmp_path, suffix):
    path = tmp_path / f"file{suffix}"
    dense(2).save(path)
    with zipfile.ZipFile(path) if suffix == ".keras" else contextlib.nullcontext() as archive:
        weights = archive.extract("model.weights.h5", tmp_path) if archive else path
    with h5py.File(weights, "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("secret.h5", "/x")
    if suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(weights, "model.weights.h5")
    with pytest.raises(UserError, match=r"from another file, secret\.h5"):
        _arguments.load_weights(dense(2), path, {}, None)


@pytest.mark.parametrize("model", MODELS)
def test_nchw_is_refused(model):
    tf.keras.backend.set_image_data_format("channels_first")
    with pytest.raises(
        ValueError, match=r"data_format='channels_first'.*set_image_data_format"
    ):
        model(**SMALL)


def test_the_ablations_replace_convolutions_of_the_named_stages():
    arguments = {**model_info("BCDNetA18").reduced, "mlp_stages": (2, 4), "bi_mlps": 2}
    names = [layer.name for layer in BCDNetA18(**arguments).layers]
    mlps = [name for name in names if name.endswith("_shift_mlp")]
    assert mlps == [f"stage{i}_2_mlp{j}_shift_mlp" for i in (2, 4) for j in (1, 2)]
    assert {"stage1_1_conv", "stage2_1_conv", "stage4_1_conv"} <= set(names)


def test_a_stage_that_there_is_not_is_named():
    with pytest.raises(ValueError, match=r"mlp_stages=\(0, 5\) is not supported"):
        BCDNetA18(mlp_stages=(0, 5))


def part(model, name):
    """The weights of a layer in float64, by their own names."""
    weights = model.get_layer(name).weights
    return {w.name.split("/")[-1][:-2]: w.numpy().astype(np.float64) for w in weights}


def norm_of(model, name, x):
    gamma, beta, mean, variance = part(model, name).values()
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def random_model(inputs, outputs, rng):
    """A network of exact binary kernels and random other weights, and one image for it."""
    model = tf.keras.Model(inputs, outputs)
    randomize(model, rng)
    for variable in model.weights:
        if variable.shape.rank == 4:
            variable.assign(exact_kernel(rng, variable.shape))
    return model, images(rng, inputs.shape[1:], count=1)


def test_unit_of_a_resnet_equals_its_equations(rng):
    """PReLU(BN(conv(sign(x + b0))) + BN(conv1x1(pool(x))) + b1) + b2, in NumPy."""
    inputs = tf.keras.Input((6, 6, 4))
    unit = resnet.Unit("unit", stage=2, filters=8, stride=2, changes=True)
    outputs = resnet.binary_unit(inputs, unit, blocks.Binarization())
    model, image = random_model(inputs, outputs, rng)
    x = image.astype(np.float64)
    signs = reference.sign(x + part(model, "unit_threshold")["bias"])
    kernel = reference.scaled_sign(part(model, "unit_conv")["kernel"])
    branch = norm_of(model, "unit_bn", reference.conv2d(signs, kernel, 2, (1, 1)))
    pooled = x.reshape(1, 3, 2, 3, 2, 4).mean((2, 4))
    shortcut = reference.conv2d(pooled, part(model, "unit_shortcut_conv")["kernel"])
    shortcut = norm_of(model, "unit_shortcut_bn", shortcut)
    before, slope, after = part(model, "unit_rprelu").values()
    expected = reference.rprelu(branch + shortcut, before, slope, after)
    np.testing.assert_allclose(model(image), expected, rtol=1e-4, atol=1e-4)


def test_attention_block_equals_its_equations(rng):
    """Queries, keys, values and projection are residual units; one head, in NumPy."""
    inputs = tf.keras.Input((2, 3, 4))
    model, image = random_model(
        inputs, cct.attention_block(inputs, 1, blocks.Binarization(), "block"), rng
    )
    model.get_layer("block_attention").scale.assign(0.25)

    def threshold(x, name):
        return reference.sign(x + part(model, f"block_{name}_threshold")["bias"])

    def unit(source, shortcut, name):
        kernel = reference.scaled_sign(part(model, f"block_{name}_conv")["kernel"])
        branch = reference.conv2d(threshold(source, name), kernel)
        weights = part(model, f"block_{name}_rprelu").values()
        return reference.rprelu(norm_of(model, f"block_{name}_bn", branch) + shortcut, *weights)

    x = image.astype(np.float64)
    query, key, value = (
        threshold(unit(x, x, name), f"{name}_sign").reshape(6, 4)
        for name in ("query", "key", "value")
    )
    scores = np.exp(query @ key.T / 2)
    probabilities = scores / scores.sum(1, keepdims=True)
    binary = 0.25 * np.clip(np.round(probabilities / 0.25), 0, 1)
    assert 0 < binary.mean() < 0.25
    expected = unit((binary @ value).reshape(x.shape), x, "projection")
    np.testing.assert_allclose(model(image), expected, rtol=1e-4, atol=1e-4)


def test_every_second_spatial_unit_of_bnext_is_multiplied_and_weighted_by_its_input():
    network = BNextT(**model_info("BNextT").reduced)

    def sources(name):
        [node] = network.get_layer(name).inbound_nodes
        return [parent.layer.name for parent in node.parent_nodes]

    multiplied = [layer.name for layer in network.layers if layer.name.endswith("_multiply")]
    assert multiplied == ["block2_3x3_multiply", "block4_3x3_multiply", "block6_3x3_multiply"]
    assert sources("block2_3x3_multiply") == [
        "block2_3x3_recoupling",
        "block2_3x3_shortcut_prelu",
    ]
    assert sources("block2_3x3_recoupling") == ["block2_3x3_prelu", "block1_1x1_concatenate"]


@pytest.mark.parametrize(
    "name", ["BCDNetA18", "BNextT", "BiRealNet18", "BinaryCCT7", "BinaryMixerS", "ReActNetA"]
)
def test_dysign_takes_the_place_of_the_thresholds_of_any_network(name):
    """What stands before every binary product chooses its thresholds, whatever it was."""
    network = get_model(name, **model_info(name).reduced, threshold="dysign")
    binary = [
        layer
        for layer in network.layers
        if getattr(layer, "input_quantizer", None) or isinstance(layer, QuantShiftMLP)
    ]
    assert len(binary) > 4
    for layer in binary:
        parents = tf.nest.flatten([node.layer for node in layer.inbound_nodes[0].parent_nodes])
        assert all(isinstance(parent, DynamicThreshold) for parent in parents), layer.name


def test_token_mixing_equals_the_matrix_product_over_the_positions(rng):
    """Equation 10: the same MLP for each channel, here with its shortcuts, in NumPy."""
    inputs = tf.keras.Input((2, 3, 4))
    how = blocks.Binarization(activation=None, threshold="zero")
    model = tf.keras.Model(inputs, blocks.token_mixing_mlp(inputs, 2, how, "mix"))
    for variable in model.weights:
        if variable.shape.rank == 4:
            variable.assign(exact_kernel(rng, variable.shape))
    up, down = (model.get_layer(f"mix_{part}_conv").kernel[0, 0] for part in ("up", "down"))
    x = images(rng, (2, 3, 4)).astype(np.float64)
    tokens = x.reshape(2, 6, 4).transpose(0, 2, 1)
    scale = np.sqrt(1 + 1e-5)
    hidden = reference.sign(tokens) @ up.numpy() / scale + np.concatenate([tokens] * 2, -1)
    mean = (hidden[..., :6] + hidden[..., 6:]) / 2
    result = reference.sign(hidden) @ down.numpy() / scale + mean
    expected = result.transpose(0, 2, 1).reshape(2, 2, 3, 4)
    np.testing.assert_allclose(model(x.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)
