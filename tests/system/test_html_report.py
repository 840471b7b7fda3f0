"""The page of a conversion, looked at in headless Chromium."""

import re
import shutil
import subprocess

import numpy as np
import PIL.Image
import pytest
from conversion_models import small_model

from larq_bcd.commands.main import lce_convert
from larq_bcd.convert import FileOptions, convert
from larq_bcd.convert.html_report import html_report
from larq_bcd.convert.profile import OperatorTime, Profile

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BLUE = (47, 111, 179)
WIDTH = 900


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Opens a page: what it looks like and its document after rendering."""
    chromium = shutil.which("chromium")
    assert chromium, "install Chromium, as `make test-system` does"

    def look(path):
        folder = tmp_path_factory.mktemp("browser")
        picture = folder / "page.png"

        def run(*arguments):
            profile = tmp_path_factory.mktemp("profile")
            command = [chromium, *FLAGS, f"--user-data-dir={profile}", *arguments]
            command.append(path.as_uri())
            return subprocess.run(command, check=True, capture_output=True, timeout=120)

        run(f"--window-size={WIDTH},2000", f"--screenshot={picture}")
        document = run("--dump-dom", f"--window-size={WIDTH},2000").stdout.decode()
        return np.asarray(PIL.Image.open(picture).convert("RGB")), document

    return look


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The command writes it; the time is that of the machine."""
    folder = tmp_path_factory.mktemp("page")
    small_model().save(folder / "small.keras")
    report = folder / "report.html"
    arguments = [folder / "small.keras", "-o", folder / "small.tflite", "--report", report]
    assert lce_convert([str(argument) for argument in (*arguments, "--head", "int8")]) == 0
    return report


def test_the_page_shows_layers_passes_operators_and_the_scatter(page, browse):
    picture, document = browse(page)
    for words in ("Passes", "Operators", "Check", "Layers", "LceBconv2d", "int8 head"):
        assert words in document
    assert "first" in document
    assert document.count("<circle") == 8 * 5
    blue = np.all(np.abs(picture.astype(int) - BLUE) < 8, axis=-1)
    assert blue.sum() > 5000
    # Nothing reaches the edges: no line is wider than the page.
    assert np.all(picture[:, -5:] == 255)
    assert np.all(picture[:, :5] == 255)


def test_the_page_needs_nothing_else(page):
    text = page.read_text()
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)


def test_bars_are_as_long_as_their_values(browse, tmp_path):
    report = convert(small_model()).report
    operators = [OperatorTime("LONG", 1, 8.0), OperatorTime("SHORT", 3, 2.0)]
    times = Profile("an engine", 9.0, operators, whole=True)
    path = tmp_path / "report.html"
    path.write_text(html_report(report, times))
    _, document = browse(path)
    widths = re.findall(r"(?:LONG|SHORT) \(\d\).*?width:([\d.]+)%", document)
    assert widths == ["100.0", "25.0"]


def test_names_are_shown_as_they_are(browse, tmp_path):
    report = convert(small_model(), name="<b>&amp;", options=FileOptions(passes=())).report
    path = tmp_path / "report.html"
    path.write_text(html_report(report, Profile("an engine", 1.0, [], whole=True)))
    _, document = browse(path)
    assert "<h1>&lt;b&gt;&amp;amp;</h1>" in document
