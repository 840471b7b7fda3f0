"""The pages of the documentation, as a reader takes them: programs, command lines, links."""

import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from larq_bcd_runtime import cli

from larq_bcd.commands.declared import COMMANDS, LCE_CONVERT
from larq_bcd.training import read_recipe
from larq_bcd.training.studies import read_study

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def pages_with(language):
    return [page for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_programs_of_a_page_run(page, tmp_path):
    program = "\n".join(blocks(page, "python"))
    program = program.replace("epochs=4", "epochs=1")  # it is not the accuracy that is tested
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.parametrize(
    "recipe",
    [block for page in PAGES for block in blocks(page, "yaml") if "network: BCD" in block],
)
def test_the_recipes_of_a_page_are_recipes(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe)
    assert read_recipe(path, []).network == yaml.safe_load(recipe)["network"]


@pytest.mark.parametrize(
    "study", [block for page in PAGES for block in blocks(page, "yaml") if "variants:" in block]
)
def test_the_studies_of_a_page_are_studies(study, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(study.replace("recipe: models", f"recipe: {ROOT / 'models'}"))
    assert list(read_study(path)[1]) == list(yaml.safe_load(study)["variants"])


def command_lines():
    for page, text in PAGES.items():
        for line in re.findall(r"^    ((?:\S*bcd-run|larq-bcd|lce_convert) .*)", text, re.M):
            yield pytest.param(shlex.split(line, comments=True), id=f"{page}: {line}")


@pytest.mark.parametrize("words", [*command_lines()])
def test_a_command_line_is_understood(words):
    name, *arguments = words
    if name.endswith("bcd-run"):
        cli.parse(arguments)
    elif name == "lce_convert":
        LCE_CONVERT.parser().parse(arguments)
    else:
        COMMANDS[arguments[0]].parser().parse(arguments[1:])


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", PAGES[page])
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


def broken_links(site):
    """The links within a built site, of notebooks too, that lead nowhere."""
    pages = {
        path.resolve(): path.read_text()
        for path in site.rglob("*.html")
        if path.name != "404.html"  # its links are those of the place where it is served
    }
    for path, html in pages.items():
        for link in re.findall(r'(?:href|src)="([^"]+)"', html):
            url = urlsplit(unescape(link))
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = f'id="{unquote(url.fragment)}"'
            if not target.exists() or (
                target in pages and url.fragment and anchor not in pages[target]
            ):
                yield f"{path.relative_to(site.resolve())}: {link}"


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "index.html").write_text('<a id="part" href="../a.html#x">')
    (tmp_path / "a.html").write_text(
        '<a href="there/#part"><a href="there/#no"><img src="b.png">'
    )
    assert sorted(broken_links(tmp_path)) == [
        "a.html: b.png",
        "a.html: there/#no",
        "there/index.html: ../a.html#x",
    ]


def test_the_examples_of_the_reference_are_recipes(tmp_path):
    path = tmp_path / "recipe.yaml"
    for recipe in (ROOT / "docs" / "train" / "examples.yaml").read_text().split("\n---\n"):
        path.write_text(recipe)
        read_recipe(path, [])


def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    pages = {path.parent.name for path in tmp_path.rglob("index.html")}
    assert {Path(page).stem for page in PAGES if page != "README.md"} - {"index"} <= pages
    generated = "".join(path.read_text() for path in tmp_path.rglob("index.html"))
    assert "<!-- generated" not in generated
    for promised in ("stages.*.schedule", "lce_convert", "BCDNetB", "movement"):
        assert promised in generated
    assert list(broken_links(tmp_path)) == []
    assert "examples.yaml" not in {path.name for path in tmp_path.rglob("*")}
