"""Builds what a release uploads, into dist/, and tries it as its users will.

Both packages as sdist and wheels, checked by twine. Then the README's programs and commands, in
an environment that has nothing but what pip installs with the wheels; and the file that they
make, in one that has the runtime alone.
"""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
RUNTIME = ROOT / "convert" / "runtime"

# What the README's commands speak of: photographs by class, and one alone.
IMAGES = """
from pathlib import Path
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
digits = load_digits()
for index, (pixels, label) in enumerate(zip(digits.images, digits.target)):
    image = Image.fromarray(np.uint8(pixels * 255 / 16)).resize((16, 16))
    folder = Path("photos") / str(label)
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{index}.png")
    if label == 7:
        image.save("seven.png")
"""
PUBLISHED = """
from larq_bcd import models
for name in models.list_models(pretrained=True):
    print(models.get_model(name).summary())
"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Runs a command, which ends this one if it fails."""
    print("+", *command, flush=True)
    if subprocess.run(command, cwd=cwd).returncode:
        raise SystemExit(f"not released: {' '.join(map(str, command))} failed")


def environment(folder: Path, *packages: str | Path) -> Path:
    """Makes an empty environment with packages; returns its programs."""
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", "--upgrade", "pip")
    run(folder / "bin" / "pip", "install", "--quiet", *packages)
    return folder / "bin"


def build(tools: Path) -> None:
    """Makes the sdists and wheels of both packages anew, and checks them."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(tools / "python", "-m", "build", "--outdir", DIST, ROOT)
    run(tools / "python", "-m", "build", "--sdist", "--outdir", DIST, RUNTIME)
    run("make", "-C", RUNTIME, "wheels", f"PYTHON={sys.executable}", f"WHEELS={DIST}")
    run(tools / "twine", "check", "--strict", *sorted(DIST.iterdir()))


def only(pattern: str) -> Path:
    """Returns the one file of a pattern."""
    [path] = DIST.glob(pattern)
    return path


def try_readme(programs: Path, runtime: Path, folder: Path) -> None:
    """Runs the README's programs, and what it says of shipping."""
    readme = (ROOT / "README.md").read_text()
    (folder / "models").symlink_to(ROOT / "models")
    run(programs / "python", "-c", IMAGES, cwd=folder)
    programs_of_it = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    run(programs / "python", "-c", "\n".join(programs_of_it), cwd=folder)
    lines = re.findall(
        r"^    ((?:lce_convert|larq-bcd evaluate|bcd-run) .*)$", readme, re.MULTILINE
    )
    for name, *arguments in map(str.split, lines):
        run(programs / name, *arguments, cwd=folder)
        if name == "bcd-run":
            run(runtime / name, *arguments, cwd=folder)


def main() -> None:
    """Builds and tries a release."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(environment(folder / "tools", "build", "twine"))
        wheel = f"{only('larq_bcd-*.whl')}[digits]"
        machine = f"larq_bcd_runtime-*_{platform.machine()}.whl"
        runtime = f"{only(machine)}[images]"
        programs = environment(folder / "all", wheel, runtime)
        work = folder / "work"
        work.mkdir()
        run(programs / "python", "-c", PUBLISHED, cwd=work)
        try_readme(programs, environment(folder / "runtime", runtime), work)
    print("\n".join(["Upload with twine:", *sorted(path.name for path in DIST.iterdir())]))


if __name__ == "__main__":
    main()
