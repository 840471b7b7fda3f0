"""Official checkpoints, compared with the official networks in plain PyTorch.

A sign that fell on the other side would change the logits for no fault of the importer's.
The thresholds are therefore put into gaps between the values that they meet. The distance to
the closest value is asserted to be above float32's rounding errors, which reach 2e-5 in the
full-size network: no sign flips.
"""

import argparse
import functools
import math
import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import official
import pytest
import safetensors.numpy
import safetensors.torch
import tensorflow as tf
import torch

from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.models import (
    BCDNetA,
    BCDNetB,
    BiRealNet18,
    BiRealNet34,
    BNextT,
    ReActNet18,
    ReActNetA,
    pytorch,
    state_dict,
    with_training_heads,
)

# pytest runs several processes at once.
torch.set_num_threads(1)
NETWORKS = {
    "bcdnet_a": BCDNetA,
    "reactnet_a": ReActNetA,
    "reactnet_18": ReActNet18,
    "bi_real_net_18": BiRealNet18,
    "bi_real_net_34": BiRealNet34,
    "bnext_t": BNextT,
}
# Those that are trained in two steps, the first with real kernels.
IN_TWO_STEPS = ("bcdnet_a", "reactnet_a", "reactnet_18")
# Those whose binary kernels are columns in the files.
FLAT = ("reactnet_a", "bi_real_net_18", "bi_real_net_34")
LAYOUTS = {
    "bcdnet_a": pytorch.BCDNET,
    "reactnet_a": pytorch.MOBILENET,
    "reactnet_18": pytorch.RESNET_18,
    "bi_real_net_18": pytorch.BIREAL_18,
    "bi_real_net_34": pytorch.BIREAL_34,
    "bnext_t": pytorch.BNEXT,
}
STEM, CLASSES = 4, 5
SMALL = {
    "input_shape": (16, 16, 3),
    "num_classes": CLASSES,
    "width": STEM / 32,
    "strides": (1, 1, 1, 1, 2, 2),
}
SMALL_18 = {**SMALL, "width": STEM / 64, "strides": (2, 1, 1, 2, 1, 2)}
ARGUMENTS = {
    "bcdnet_a": {**SMALL, "long_range": 3},
    "reactnet_a": SMALL,
    "reactnet_18": SMALL_18,
    "bi_real_net_18": SMALL_18,
    "bi_real_net_34": SMALL_18,
    "bnext_t": SMALL,
}


def small_arguments(name):
    return ARGUMENTS[name]


@functools.cache
def small(name, has_binary_kernels=True):
    kernels = {} if has_binary_kernels else {"kernel_quantizer": None}
    return NETWORKS[name](**kernels, **small_arguments(name))


@pytest.fixture
def reactnet():
    return small("reactnet_a")


@pytest.fixture
def bcdnet():
    return small("bcdnet_a")


def small_state(network="reactnet_a"):
    return official.random_state(network, 0, CLASSES, STEM)


def checkpoint(network, state):
    """What the official training scripts save: parallel training, optimizer and all."""
    parallel = {f"module.{key}": value for key, value in state.items()}
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.ones(3)
    optimizer = torch.optim.AdamW([weight])
    optimizer.step()
    if network == "bcdnet_a":
        return {"model": parallel, "optimizer": optimizer.state_dict(), "last_iter": 600_000}
    return {
        "epoch": 256,
        "state_dict": parallel,
        "best_top1_acc": 69.4,
        "optimizer": optimizer.state_dict(),
    }


def saved(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def load(network, path):
    return pytorch.load_checkpoint(network, path, LAYOUTS[network.name])


def loaded(network, path):
    """The weights that a file gives a network, which had others before."""
    for variable in network.weights:
        variable.assign(np.full(variable.shape, np.nan))
    load(network, path)
    return network.get_weights()


def assert_same(weights, expected):
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def calibrated(network, state, binary_kernels, strides, images):
    """The state dict with thresholds in gaps, and the logits that it gives."""
    reference = official.Official(network, state, binary_kernels, strides)
    logits = reference.logits(images)
    assert reference.margin > 5e-5
    assert min(head.std().item() for head in logits) > 0.1
    return reference.state, logits


def random_images(count, size):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((count, 3, size, size), generator=generator)
    return images, images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("name", "step"), [*((name, 1) for name in IN_TWO_STEPS), *((name, 2) for name in NETWORKS)]
)
def test_logits_are_those_of_the_official_network(name, step, tmp_path):
    images, batch = random_images(4, 16)
    strides = small_arguments(name)["strides"]
    state, expected = calibrated(name, small_state(name), step == 2, strides, images)
    if name in FLAT and step == 2:
        state = official.flat(state)
    network = small(name, step == 2)
    load(network, saved(tmp_path / "official.pth.tar", checkpoint(name, state)))
    heads = with_training_heads(network)(batch) if name == "bcdnet_a" else [network(batch)]
    for ours, theirs in zip(heads, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["bcdnet_a", "reactnet_18"])
def test_logits_are_those_of_the_official_network_in_full_size(name, tmp_path):
    images, batch = random_images(1, 224)
    strides = (2, 2, 1, 2, 2, 2) if name == "reactnet_18" else (2, 1, 2, 2, 2, 2)
    state, heads = calibrated(name, official.random_state(name, seed=2), True, strides, images)
    path = saved(tmp_path / "official.pth.tar", checkpoint(name, state))
    logits = NETWORKS[name](weights=str(path))(batch)
    np.testing.assert_allclose(logits, sum(heads) / len(heads), rtol=0, atol=1e-3)


def test_an_official_bcdnet_keeps_its_long_range_at_another_image_size(tmp_path):
    images, batch = random_images(4, 32)  # the MLP stage sees 8x8, half of which is 4
    strides = SMALL["strides"]
    state, heads = calibrated("bcdnet_a", small_state("bcdnet_a"), True, strides, images)
    path = saved(tmp_path / "official.pth.tar", checkpoint("bcdnet_a", state))
    arguments = {**SMALL, "input_shape": (32, 32, 3), "weights": path}
    logits = BCDNetB(**arguments)(batch).numpy()
    np.testing.assert_allclose(logits, sum(heads) / len(heads), rtol=0, atol=1e-3)
    asked_for = BCDNetA(long_range="half", **arguments)
    assert asked_for.get_layer("mlp1_1_shift_mlp").long_shift.shift == "half"
    assert np.abs(asked_for(batch) - logits).max() > 0.1


def test_layout_has_the_keys_and_parameters_of_the_published_checkpoints():
    counts = {}
    for network in NETWORKS:
        keys = official.layout(network)
        trained = [
            shape
            for key, shape in keys.items()
            if not re.search("running_mean|running_var|num_batches_tracked|temperature", key)
        ]
        counts[network] = len(keys), sum(math.prod(shape) for shape in trained)
    assert counts == {
        "bcdnet_a": (378, 46_146_384),
        "reactnet_a": (298, 29_343_592),
        "reactnet_18": (186, 11_704_424),
        "bi_real_net_18": (122, 11_689_512),
        "bi_real_net_34": (218, 21_797_672),
        "bnext_t": (661, 30_853_276 + 8_960),  # which it does not compute with
    }


def test_every_variable_is_given(tmp_path):
    for name in NETWORKS:
        network = small(name)
        weights = loaded(network, saved(tmp_path / "a.pth", small_state(name)))
        assert all(np.isfinite(weight).all() for weight in weights)


def test_every_container_and_file_format_gives_the_same_weights(tmp_path, reactnet):
    state = small_state()
    expected = loaded(reactnet, saved(tmp_path / "bare.pt", state))
    parallel = {f"module.{key}": value for key, value in state.items()}
    uncounted = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    parameters = {key: torch.nn.Parameter(value) for key, value in uncounted.items()}
    safetensors.torch.save_file(state, tmp_path / "bare.safetensors")
    safetensors.torch.save_file(parallel, tmp_path / "parallel.safetensors")
    paths = [
        tmp_path / "bare.safetensors",
        tmp_path / "parallel.safetensors",
        saved(tmp_path / "reactnet.pth", checkpoint("reactnet_a", state)),
        saved(tmp_path / "bcdnet.pth.tar", checkpoint("bcdnet_a", state)),
        saved(tmp_path / "parallel.pt", parallel),
        saved(tmp_path / "uncounted.pth", uncounted),
        saved(tmp_path / "parameters.pth", parameters),
        saved(tmp_path / "flat.pth", official.flat(state)),
        saved(tmp_path / "legacy.pth", state, _use_new_zipfile_serialization=False),
        saved(tmp_path / "another.bin", state),
        saved(tmp_path / "another", {"net": state}),
        saved(tmp_path / "misnamed.safetensors", {"model_state_dict": state}),
        saved(tmp_path / "misnamed.h5", {"state_dict": {"model": state}}),
    ]
    safetensors.torch.save_file(state, tmp_path / "misnamed.pth")
    for path in [*paths, tmp_path / "misnamed.pth"]:
        assert state_dict.is_checkpoint(path)
        assert_same(loaded(reactnet, path), expected)


def test_what_is_around_the_tensors_is_seen_and_said(tmp_path, reactnet):
    state = small_state()
    expected = loaded(reactnet, saved(tmp_path / "bare.pt", state))
    wrapped = {f"module._orig_mod.module.{key}": value for key, value in state.items()}
    counters = {"total_ops": torch.zeros(1), "module.fc.total_params": torch.zeros(1)}
    average = {"n_averaged": torch.tensor(3), **{f"module.{k}": v for k, v in state.items()}}
    others = {key: torch.zeros_like(value) for key, value in state.items()}
    for content, said in (
        (wrapped, ("the prefix 'module._orig_mod.module.' of all names left out",)),
        (
            {"model_state_dict": {**state, **counters}},
            (
                "the tensors of 'model_state_dict'",
                "2 counters of tools, such as total_ops, left out",
            ),
        ),
        (
            {"state_dict": others, "state_dict_ema": average},
            (
                "the tensors of 'state_dict_ema', a moving average, and not those of "
                "'state_dict'",
                "1 counters of tools, such as n_averaged, left out",
                "the prefix 'module.' of all names left out",
            ),
        ),
        ({"model": state, "model_ema": None}, ("the tensors of 'model'",)),
    ):
        path = saved(tmp_path / "a.pth", content)
        assert load(reactnet, path) == said
        assert_same(reactnet.get_weights(), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_of_a_file_is_named(name, tmp_path):
    """For another network, whose own file it takes."""
    other = "reactnet_a" if name == "bcdnet_a" else "bcdnet_a"
    state = small_state(name)
    path = saved(tmp_path / "a.pth", official.flat(state) if name in FLAT else state)
    layout = pytorch.MOBILENET if other == "reactnet_a" else pytorch.BCDNET
    with pytest.raises(ValueError, match=rf"{NETWORKS[name].__name__}: build that") as error:
        pytorch.load_checkpoint(small(other), path, layout)
    named = re.findall(r"[\w.]+\.(?:weights?|bias|running_\w+)\b", str(error.value))
    assert 0 < len(named) <= 10
    assert "more" in str(error.value)


def test_the_classes_of_a_file_are_named(tmp_path, reactnet):
    state = official.random_state("reactnet_a", 0, 7, STEM)
    with pytest.raises(ValueError, match=r"Build it with num_classes=7, as the file has"):
        load(reactnet, saved(tmp_path / "a.pth", state))


@pytest.mark.parametrize(
    ("name", "has_binary_kernels", "content", "message"),
    [
        ("reactnet_a", False, official.flat, r"leave out kernel_quantizer=None"),
        ("bi_real_net_18", False, official.flat, r"BiRealNet18 keeps under the name 'weights'"),
        ("reactnet_a", True, dict, r"of the first training step.*kernel_quantizer=No"),
        ("bi_real_net_18", True, dict, r"not of the official code"),
        (
            "bnext_t",
            True,
            lambda state: {**state, "feature.2.FFN_1.binary_conv.temperature": torch.ones(1)},
            r"1 kernels are not their signs alone yet, as feature\.2\.FFN_1.* is 1 and not ",
        ),
    ],
)
def test_a_file_of_the_other_step_is_loaded_with_a_warning(
    name, has_binary_kernels, content, message, tmp_path
):
    path = saved(tmp_path / "a.pth", content(small_state(name)))
    with pytest.warns(UserWarning, match=message):
        load(small(name, has_binary_kernels), path)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_official_file_is_loaded_without_a_warning(name, tmp_path, recwarn):
    state = small_state(name)
    path = saved(tmp_path / "a.pth", official.flat(state) if name in FLAT else state)
    load(small(name), path)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fc.weight", math.nan, "fc.weight has values that are not finite"),
        (
            "feature.1.move11.bias",
            math.inf,
            "feature.1.move11.bias has values that are not fin",
        ),
        ("feature.3.bn1.running_var", -0.1, "feature.3.bn1.running_var has negative variances"),
    ],
)
def test_values_that_no_training_gives_are_refused(key, value, message, tmp_path, reactnet):
    state = small_state()
    state[key].view(-1)[2] = value
    before = reactnet.get_weights()
    with pytest.raises(ValueError, match=rf"a\.pth: {message}.*earlier checkpoint"):
        load(reactnet, saved(tmp_path / "a.pth", state))
    assert_same(reactnet.get_weights(), before)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html>Download anyway</html>", "a page of HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
    ],
)
def test_what_came_in_place_of_a_file_is_named(content, what, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.pth could not be read: it is .*{what}"):
        state_dict.read_state_dict(path)


def test_a_file_of_keras_is_no_checkpoint_whatever_its_name(tmp_path, reactnet):
    for name in ("a.pth", "b.weights.h5"):
        reactnet.save_weights(tmp_path / "whole.weights.h5")
        (tmp_path / "whole.weights.h5").rename(tmp_path / name)
        assert not state_dict.is_checkpoint(tmp_path / name)
    assert not state_dict.is_checkpoint(tmp_path / "nothing.pth")


@pytest.mark.parametrize("start", [b"PK", b"\x80", b"<", b"\x1f\x8b", b"\x89H"])
def test_the_header_of_safetensors_may_be_of_any_length(tmp_path, start):
    path = tmp_path / "a.pth"
    safetensors.torch.save_file({"a": torch.ones(2)}, path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    length = int.from_bytes(start.ljust(3, b"\x01"), "little")
    path.write_bytes(
        length.to_bytes(8, "little") + content[8:end].ljust(length) + content[end:]
    )
    assert state_dict.is_checkpoint(path)
    np.testing.assert_array_equal(state_dict.read_state_dict(path).tensors["a"], np.ones(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_becomes_float32(dtype, tmp_path, reactnet):
    state = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in small_state().items()
    }
    weights = loaded(reactnet, saved(tmp_path / "a.pth", state))
    kernel = state["fc.weight"].float().numpy().T
    np.testing.assert_array_equal(reactnet.get_layer("fc").kernel, kernel)
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    assert_same(loaded(reactnet, tmp_path / "a.safetensors"), weights)


def test_bcdnet_b_with_a_checkpoint_of_a_computes_exactly_the_function_of_a(
    rng, tmp_path, bcdnet
):
    path = saved(tmp_path / "a.pth.tar", checkpoint("bcdnet_a", small_state("bcdnet_a")))
    load(bcdnet, path)
    network = BCDNetB(weights=path, **SMALL)
    batch = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(batch), bcdnet(batch))
    # The embedding, which the checkpoint has not, is as new and ready to be trained.
    assert network.get_layer("block1_3x3_conv").context_kernel.numpy().any()


def test_a_network_without_top_takes_a_checkpoint_with_any_head(rng, tmp_path, bcdnet):
    state = small_state("bcdnet_a")
    load(bcdnet, saved(tmp_path / "a.pth", state))
    for head in ("fc", "fc_dist"):
        state |= {f"{head}.weight": torch.zeros(77, 128), f"{head}.bias": torch.zeros(77)}
    path = saved(tmp_path / "b.pth", state)
    features = BCDNetA(weights=path, include_top=False, **SMALL)
    batch = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)
    head = bcdnet.get_layer("fc")
    logits = features(batch).numpy().mean((1, 2)) @ head.kernel + head.bias
    np.testing.assert_allclose(with_training_heads(bcdnet)(batch)[0], logits, atol=1e-4)


def test_all_that_does_not_fit_is_listed_at_once_and_nothing_is_loaded(tmp_path, reactnet):
    state = small_state()
    for key in ("feature.2.bn2_2.running_mean", "feature.13.binary_pw.weight"):
        del state[key]
    state["feature.14.move11.bias"] = torch.zeros(1, 4, 1, 1)
    state["feature.0.bn2.num_batches_tracked"] = torch.tensor(1)
    state["fc.weight"] = torch.zeros(7, 128)
    state["fc.bias"] = torch.zeros(7)
    state["feature.1.move11.bias"] = torch.zeros(4)
    before = reactnet.get_weights()
    with pytest.raises(ValueError, match=r"a\.pth does not fit 'reactnet_a'") as error:
        load(reactnet, saved(tmp_path / "a.pth", state))
    assert (
        "2 missing: feature.2.bn2_2.running_mean, feature.13.binary_pw.weight; "
        "2 unknown: feature.14.move11.bias, feature.0.bn2.num_batches_tracked; "
        "3 misshapen: feature.1.move11.bias has shape (4,) instead of (1, 4, 1, 1), "
        "fc.weight has shape (7, 128) instead of (5, 128), "
        "fc.bias has shape (7,) instead of (5,). Build it with num_classes=7, as the file "
        "has"
    ) in str(error.value)
    assert_same(reactnet.get_weights(), before)


def test_flat_kernels_that_do_not_fit_are_named_as_in_the_file(tmp_path, reactnet):
    state = official.flat(small_state())
    del state["feature.3.binary_3x3.weights"]
    state["feature.1.binary_3x3.weights"] = torch.zeros(9, 1)
    message = (
        r"1 missing: feature.3.binary_3x3.weights; 1 misshapen: "
        r"feature.1.binary_3x3.weights has shape \(9, 1\) instead of \(144, 1\)\."
    )
    with pytest.raises(ValueError, match=message):
        load(reactnet, saved(tmp_path / "a.pth", state))


def test_checkpoint_of_another_network_or_width_is_refused(tmp_path, reactnet, bcdnet):
    path = saved(tmp_path / "a.pth", small_state("bcdnet_a"))
    expected = official.layout("reactnet_a", CLASSES, STEM).keys()
    found = official.layout("bcdnet_a", CLASSES, STEM).keys()
    missing = [key for key in expected - found if not key.endswith("num_batches_tracked")]
    unknown = found - expected
    message = rf"{len(missing)} missing: .*; {len(unknown)} unknown: .*; 3 misshapen: "
    with pytest.raises(ValueError, match=message):
        load(reactnet, path)
    path = saved(tmp_path / "b.pth", official.random_state("bcdnet_a", 0, CLASSES, 8))
    with pytest.raises(ValueError, match=r"'bcdnet_a': \d+ misshapen: feature.0.conv1.weight"):
        load(bcdnet, path)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, function, argument):
        self.call = (function, (argument,))

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", ["zip", "legacy", "pickle 2", "pickle 5"])
@pytest.mark.parametrize("name", ["eval", "os.system", "Path.touch"])
def test_code_in_a_checkpoint_is_refused_and_not_run(name, protocol, tmp_path, monkeypatch):
    # The variable with which users turn PyTorch's own default off changes nothing here.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    victim = tmp_path / "created"
    payload = {
        "eval": Payload(eval, f"open({str(victim)!r}, 'w')"),
        "os.system": Payload(os.system, f"touch '{victim}'"),
        "Path.touch": Payload(Path.touch, victim),
    }[name]
    content = {**checkpoint("reactnet_a", small_state()), "extra": payload}
    path = tmp_path / "evil.pth"
    if protocol.startswith("pickle"):
        path.write_bytes(pickle.dumps(payload, int(protocol[-1])))
    else:
        saved(path, content, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(ValueError, match=r"evil\.pth (is refused|could not be read)") as error:
        state_dict.read_state_dict(path)
    assert not victim.exists()
    if protocol.startswith("pickle"):
        pickle.loads(path.read_bytes())
    else:
        assert "it holds more than tensors" in str(error.value)
        torch.load(path, weights_only=False)
    assert victim.exists(), "the payload of this test does nothing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"args": argparse.Namespace()}, r"is refused: .*argparse\.Namespace"),
        (torch.nn.Linear(2, 2), r"is refused: .*torch\.nn\.modules\.linear\.Linear"),
        ({"epoch": 3}, r"holds no state dict: .*'state_dict' or 'model'"),
        ([torch.zeros(2)], r"holds no state dict"),
        ({"a": torch.eye(2).to_sparse()}, r"holds no state dict: .*dense tensors"),
        ({"a": torch.zeros(2, device="meta")}, r"holds no state dict"),
        ({3: torch.zeros(2)}, r"holds no state dict"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(content, message, tmp_path):
    path = saved(tmp_path / "model.pth", content)
    with pytest.raises(ValueError, match=rf"model\.pth {message}"):
        state_dict.read_state_dict(path)


def bytes_of(form, tmp_path):
    state = {key: value for key, value in small_state().items() if key.startswith("feature.1.")}
    path = tmp_path / "whole"
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        saved(path, state, _use_new_zipfile_serialization=form == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_damaged_file_is_named_in_one_sentence(form, tmp_path, rng):
    content = bytes_of(form, tmp_path)
    name = "cut.safetensors" if form == "safetensors" else "cut.pth"
    path = tmp_path / name
    for length in [0, 1, 7, 8, *range(9, len(content), len(content) // 40), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(
            ValueError, match=rf"{name} (could not be read|is refused)"
        ) as error:
            state_dict.read_state_dict(path)
        assert "\n" not in str(error.value)
    for _ in range(40):
        path.write_bytes(rng.bytes(200) + content[200:])
        with pytest.raises(ValueError, match=rf"{name} could not be read"):
            state_dict.read_state_dict(path)


def test_memory_that_does_not_suffice_is_not_called_damage(tmp_path, monkeypatch):
    def out_of_memory(*arguments, **options):
        raise MemoryError

    pth = saved(tmp_path / "a.pth", small_state())
    safe = tmp_path / "a.safetensors"
    safetensors.torch.save_file(small_state(), safe)
    monkeypatch.setattr(torch, "load", out_of_memory)
    monkeypatch.setattr(safetensors.numpy, "load_file", out_of_memory)
    for path in (pth, safe):
        with pytest.raises(ValueError, match=f"{path.name} takes more memory than there is"):
            state_dict.read_state_dict(path)


def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch):
    pth = saved(tmp_path / "a.pth", small_state())
    safe = tmp_path / "a.safetensors"
    safetensors.torch.save_file(small_state(), safe)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"a\.pth.*pip install 'larq-bcd\[pytorch\]'"):
        state_dict.read_state_dict(pth)
    assert state_dict.read_state_dict(safe).tensors.keys() == small_state().keys()
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"a\.safetensors.*pip install safetensors"):
        state_dict.read_state_dict(safe)


def test_a_pytorch_with_an_unsafe_reader_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.pth", small_state())
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(ImportError, match=r"PyTorch 2\.10.*2\.9\.1.*install 'torch>=2\.10'"):
        state_dict.read_state_dict(path)


def test_the_command_writes_a_checkpoint_as_a_keras_model(tmp_path, capsys):
    state = official.random_state("reactnet_18", 0)
    path = saved(tmp_path / "official.pth.tar", checkpoint("reactnet_18", state))
    output = tmp_path / "model.keras"
    arguments = ["import", str(path), "--model", "ReActNet18", "-o", str(output)]
    assert main(arguments) == 0
    _, batch = random_images(1, 224)
    network = tf.keras.models.load_model(output)
    np.testing.assert_array_equal(network(batch), ReActNet18(weights=path)(batch))
    assert {file.name for file in tmp_path.iterdir()} == {path.name, output.name}
    for change, message in (
        ([], "model.keras exists: .* --force"),
        (["--force", "--model", "ReactNet-18b"], "did you mean 'ReActNet18'"),
        (["--force", "--model", "BCDNetA18"], "there is no official checkpoint of it"),
        (["--force", "--model", "ResNet18", "--real-kernels"], "BCDNetA, .*, ReActNetA"),
        (["-o", "model.h5"], "model.h5 needs another suffix: name it model.keras"),
        (["-o", "no/model.keras"], "the folder no does not exist"),
        (["--force", "--num-classes", "7"], "misshapen: fc.weight"),
    ):
        assert main([*arguments, *change]) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert re.search(message, line)
    assert main(["import", str(output), *arguments[2:-1], "b.keras"]) == 2
    assert (
        "model.keras is not a PyTorch checkpoint: give what torch.save"
        in capsys.readouterr().err
    )
