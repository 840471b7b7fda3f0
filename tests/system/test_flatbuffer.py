"""The file itself: flatbuffers' verifier, made by flatc, and Netron accept it."""

import functools
import http.server
import re
import shutil
import subprocess
import threading
from pathlib import Path

import netron
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import randomize, small_model
from tflite_schema_text import schema_text

from larq_bcd.convert import FileOptions, convert
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.layers import QuantShiftMLP

IMAGES = Preprocessing((12, 12), resize=None)
OPTIONS = {
    "plain": FileOptions(passes=()),
    "optimized": FileOptions(),
    "int8": FileOptions(
        head="int8", input_type="int8", description=Description(IMAGES, tuple("abcde"))
    ),
    "float16": FileOptions(head="float16", input_type="uint8", description=Description(IMAGES)),
    "builtin": FileOptions(ops="builtin"),
    "stem": FileOptions(stem="int8", input_type="uint8", description=Description(IMAGES)),
}
VERIFIER = """
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>
#include "tflite_generated.h"

int main(int count, char** names) {
  for (int i = 1; i < count; ++i) {
    std::ifstream file(names[i], std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    flatbuffers::Verifier verifier(
        reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (!tflite::VerifyModelBuffer(verifier)) std::puts(names[i]);
  }
}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of every kind, and what is left of one of them after an accident."""
    folder = tmp_path_factory.mktemp("files")
    model = small_model()
    for name, options in OPTIONS.items():
        seen = np.random.default_rng(0).normal(size=(2, 12, 12, 3))
        result = convert(
            model, options=options, calibration=seen if options.stem == "int8" else None
        )
        (folder / f"{name}.tflite").write_bytes(result.content)
    image = tf.keras.Input((9, 9, 128))
    shifted = randomize(tf.keras.Model(image, QuantShiftMLP(128)(image) + image))
    (folder / "shifted.tflite").write_bytes(convert(shifted).content)
    whole = (folder / "optimized.tflite").read_bytes()
    (folder / "truncated.tflite").write_bytes(whole[: len(whole) // 2])
    return folder


def test_the_verifier_of_flatbuffers_accepts_whole_files_alone(files, tmp_path):
    for tool in ("flatc", "g++"):
        assert shutil.which(tool), f"install {tool}, as `make test-system` does"
    (tmp_path / "tflite.fbs").write_text(schema_text())
    (tmp_path / "verify.cc").write_text(VERIFIER)
    run = functools.partial(
        subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    run(["flatc", "--cpp", "tflite.fbs"])
    run(["g++", "-std=c++17", "-o", "verify", "verify.cc"])
    paths = sorted(files.glob("*.tflite"))
    assert len(paths) == len(OPTIONS) + 2  # shifted and truncated
    refused = run(["./verify", *map(str, paths)]).stdout.split()
    assert refused == [str(files / "truncated.tflite")]


@pytest.fixture
def netron_page(files):
    """The address of Netron, served with a file to open and its question answered."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            name = path.split("?")[0].lstrip("/") or "index.html"
            if name.endswith(".tflite"):
                return str(files / Path(name).name)
            return str(Path(netron.__file__).parent / name)

        def end_headers(self):
            self.send_header("Set-Cookie", "consent=1")
            super().end_headers()

        def do_GET(self):
            if self.path != "/":
                return super().do_GET()
            page = (Path(netron.__file__).parent / "index.html").read_text()
            # Version 0.0.0 neither asks for an update nor reports anything.
            head = '<meta name="version" content="0.0.0"><meta name="file" content="{}">'
            head = head.format("/optimized.tflite")
            page = re.sub('<meta name="version" content="[^"]*">', head, page)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_netron_draws_every_operator(netron_page, tmp_path):
    chromium = shutil.which("chromium")
    assert chromium, "install Chromium, as `make test-system` does"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", netron_page]
    document = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=300
    ).stdout
    assert document.count(">LceBconv2d<") == 2
    assert document.count(">LceQuantize<") == 2
    for name in ("image", "logits"):
        assert f">{name}<" in document
