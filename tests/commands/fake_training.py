"""Stands in for `larq-bcd train`: python fake_training.py FOLDER seed=N --output RUN.

The environment variable FAKE has, by VARIANT/seedN, the accuracy that a training comes to, or
what becomes of it instead. Each training adds its name to the file of FAKE_LOG.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

VERSIONS = {"larq_bcd": "0.1.0", "tensorflow": "2.21.0"}


def main(recipe: str, seed: str, option: str, output: str) -> int:
    folder = Path(output)
    name = f"{folder.parent.name}/{folder.name}"
    assert (Path(recipe) / "recipe.yaml").exists()
    assert (seed, option) == (f"seed={folder.name.removeprefix('seed')}", "--output")
    # Should it outlive the study, the folder is still in use.
    files = [
        os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
    ]
    assert os.path.realpath(folder.parents[1] / ".lock") in files
    with open(os.environ["FAKE_LOG"], "a") as log:
        log.write(f"{name}\n")
    outcome = json.loads(os.environ["FAKE"])[name]
    (folder / "checkpoints" / "step-000000007").mkdir(parents=True, exist_ok=True)
    if outcome == "diverges":
        return 2
    if outcome == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if outcome == "is stopped":
        return 128 + signal.SIGINT
    if str(outcome).startswith("study gets"):
        # As a training it ends its step, writes a checkpoint, and says which signal it was.
        asked = []
        signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
        number = signal.Signals[outcome.split()[2]]
        os.kill(os.getppid(), number)
        while not asked:
            time.sleep(0.01)
        if outcome.endswith("twice"):
            os.kill(os.getppid(), number)
            time.sleep(60)
        (folder / "asked").touch()
        return 128 + signal.SIGTERM
    stage = {"last": {"val_accuracy": outcome}, "seconds": 60.0}
    cost = {"bops": 640, "flops": 10, "ops": 20.0}
    results = {"stages": [stage], "cost": cost, **VERSIONS}
    (folder / "results.json").write_text(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
