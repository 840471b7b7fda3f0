"""Installs the package with each supported TensorFlow, by pip alone, and tests it there.

python .ci/stacks.py          every TensorFlow, with this Python
python .ci/stacks.py 2.18     one of them
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TENSORFLOWS = ("2.18", "2.19", "2.20", "2.21")
# What depends on the versions: Keras' settlement, serialization, conversion.
TESTS = ("tests/test_keras.py", "tests/layers", "tests/convert")


def test_stack(tensorflow: str) -> bool:
    """Returns whether the package installs and works with a TensorFlow."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet"]
        package = f"{ROOT}[dev]"
        commands = [
            [*install, "--upgrade", "pip"],
            [*install, f"tensorflow=={tensorflow}.*", package],
            [*install, "--no-deps", "--requirement", "tests/larq_zoo.txt"],
            [python, "-c", "import larq_bcd, tensorflow_datasets as t; t.load"],
            [python, "-m", "pytest", "-n", "2", *TESTS],
        ]
        return all(subprocess.run(command, cwd=ROOT).returncode == 0 for command in commands)


def main() -> int:
    """Tests the stacks; returns the exit status."""
    results = {version: test_stack(version) for version in sys.argv[1:] or TENSORFLOWS}
    for version, passed in results.items():
        print(f"TensorFlow {version}: {'passed' if passed else 'FAILED'}")
    return not all(results.values())


if __name__ == "__main__":
    sys.exit(main())
