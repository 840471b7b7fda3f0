"""The pages of the families of networks: complete, and with the figures of the registry."""

import importlib
import inspect
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from larq_bcd.models import list_models, model_info
from larq_bcd.models.published import Weights

DOCS = Path(__file__).parents[2] / "docs"
FAMILIES = sorted({model_info(name).build.__module__ for name in list_models()})
MARKS = {"variants", "cost", "preprocessing", "trained", "functions"}


@pytest.fixture(scope="module")
def hooks():
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("hooks")
    finally:
        sys.path.remove(str(DOCS))


def source(family):
    return (DOCS / "networks" / f"{family.rpartition('.')[2]}.md").read_text()


def page_of(hooks, family):
    uri = f"networks/{family.rpartition('.')[2]}.md"
    page = SimpleNamespace(file=SimpleNamespace(src_uri=uri))
    return hooks.on_page_markdown(source(family), page=page)


def networks_of(family):
    return [name for name in list_models() if model_info(name).build.__module__ == family]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_page_of_all_parts(family):
    text = source(family)
    assert set(re.findall(r"^<!-- generated: (\w+) -->$", text, re.MULTILINE)) == MARKS
    assert re.search(r"^<!-- generated: figure \w+ \w+( units)? -->$", text, re.MULTILINE)
    for part in (r"\\[", "```python\n", "summarize(network)", "tf.keras.Model(network.input"):
        assert part in text


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_has_the_figures_of_the_registry(family, hooks, monkeypatch):
    monkeypatch.setattr(hooks.figures, "block", lambda *_: "<svg></svg>")
    text = page_of(hooks, family)
    _, table = re.split(r"^## Cost$", text, flags=re.MULTILINE)
    rows = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    for name in networks_of(family):
        info = model_info(name)
        numbers = (info.parameters, info.binary_parameters, info.bops, info.flops)
        cells = [cell.strip() for cell in rows[name].split("|")[2:-1]]
        assert cells[:4] == [f"{number:,}" for number in numbers]
        assert cells[4] == f"{(info.bops / 64 + info.flops) / 1e8:.2f}e8"
        top1 = "none reported" if info.top1 is None else f"{info.top1} %, {info.dataset}"
        assert cells[5] == top1
        assert f"https://arxiv.org/abs/{info.paper.arxiv}" in cells[6]
        assert (info.reconstruction or "") in text
        _, function = text.split(f"\n### {name}\n")
        for argument, value in inspect.signature(info.build).parameters.items():
            assert f"    {argument}={value.default!r},\n" in function
            assert f"\n| `{argument}` | " in function
        listed = re.findall(r"^\| `(\w+)` \| ", function.split("| raises |")[0], re.MULTILINE)
        assert listed == list(inspect.signature(info.build).parameters)
        _, returned = function.split("**Returns** ", 1)
        assert "its logits `(batch, num_classes)` are float32." in returned.split("\n\n")[0]
    assert "224x224" in text or "32x32" in text


def test_a_cell_that_holds_a_sentence_is_told_from_one_of_a_number(hooks):
    number, words = f"<td>{'<code>1</code>, ' * 4}</td>", "all of <em>it</em> " * 4
    page = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))
    html = hooks.on_page_content(f"<tr>{number}<td>{words}</td>{number}</tr>", page=page)
    assert html == f'<tr>{number}<td class="prose">{words}</td>{number}</tr>'


def test_a_figure_has_every_layer_of_its_block(hooks, monkeypatch):
    reduced = dict(model_info("BCDNetB").reduced)
    network = model_info("BCDNetB").build(**reduced)
    monkeypatch.setattr(hooks.figures, "_network", lambda name: network)
    for prefix, others in {"block2_": (), "mlp1_1_": ("short_range", "long_range")}.items():
        drawing = hooks.figures.block("BCDNetB", prefix)
        layers = [layer.name for layer in network.layers if layer.name.startswith(prefix)]
        for name in (*(layer.removeprefix(prefix) for layer in layers), *others):
            assert len(re.findall(rf"<text[^>]*>{name}[ <]", drawing)) == 1
        products = [name for name in layers if name.endswith(("_conv", "_shift_mlp"))]
        assert drawing.count('class="binary"') == len(products) + len(others)
    whole = hooks.figures.block("BCDNetB", "block2_", True)
    assert whole.count(">unit<") == 2
    assert whole.count("<rect") == 2
    with pytest.raises(ValueError, match="no layer whose name begins with 'block99_'"):
        hooks.figures.block("BCDNetB", "block99_")


def test_networks_that_do_not_come_trained_name_the_command(hooks, monkeypatch):
    monkeypatch.setattr("larq_bcd.models.published.index", list)
    assert "`larq-bcd models --pretrained`" in hooks._trained([model_info("BCDNetB")])


def test_a_trained_network_is_on_its_page_with_its_card(hooks, monkeypatch):
    weights = Weights(
        network="BCDNetB",
        name="cifar10",
        arguments={},
        dataset="cifar10",
        split="test",
        top1=91.234,
        preprocessing=model_info("BinaryCCT7").preprocessing,
        class_names=("cat", "dog"),
        bops=1,
        flops=1,
        card="bcdnet_b_cifar10",
        size=812_345,
    )
    monkeypatch.setattr("larq_bcd.models.published.index", lambda: [weights])
    text = hooks._trained([model_info("BCDNetB")])
    for part in ("`BCDNetB:cifar10`", "cifar10, test", "32x32x3", "91.23 %", "812 kB"):
        assert part in text
    assert "[models/bcdnet_b_cifar10](cards/bcdnet_b_cifar10/index.md)" in text
    assert "`larq-bcd models" in hooks._trained([model_info("BCDNetA")])

    monkeypatch.setattr(hooks, "index", lambda: [weights])
    plugins = SimpleNamespace(_current_plugin=None)
    config = SimpleNamespace(site_dir="site", use_directory_urls=True, plugins=plugins)
    uris = {file.src_uri: Path(file.abs_src_path) for file in hooks.on_files([], config)}
    card = uris["networks/cards/bcdnet_b_cifar10/index.md"]
    assert card.read_text().startswith("# BCDNet-B")
    assert "networks/cards/bcdnet_b_cifar10/curves.png" in uris
    assert all(path.is_file() for path in uris.values())
