"""Processes that take turns, so that what else the machine does falls on all of them alike."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping

from rich.console import Console


class Worker:
    """A process that takes turns, from within: to be called before each of its steps.

    Args:
        warm_up: steps before the first turn.
        steps: of a turn.
        first: what to say before the first turn, for JSON.
    """

    def __init__(self, warm_up: int, steps: int, first=None):
        self._left = warm_up
        self._steps = steps
        self._said = first
        self._since: tuple[float, float] | None = None

    def __call__(self) -> None:
        """Waits at the end of a turn for the next one; ends the process if there is none."""
        if self._left:
            self._left -= 1
            return
        if self._since is not None:
            pairs = zip(self._since, _now(), strict=True)
            self._said = [(end - start) / self._steps for start, end in pairs]
        print(json.dumps(self._said), flush=True)
        if not sys.stdin.readline():
            sys.exit()
        self._left = self._steps - 1
        self._since = _now()


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def take_turns(
    commands: Mapping[str, list[str]],
    rounds: int,
    environments: Mapping[str, Mapping[str, str]],
) -> tuple[dict, dict[str, list]]:
    """Starts processes, and gives each its turn in every round.

    Args:
        commands: of the processes, by their names.
        rounds: turns of each.
        environments: what the environments of some have more than this one.

    Returns:
        What each said before its first turn, and what after each.
    """
    console = Console()
    workers, first = {}, {}
    for name, command in commands.items():
        console.print(f"Preparing {name} ...")
        workers[name] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environments.get(name, {})},
        )
        first[name] = _said(name, workers[name])
    said: dict[str, list] = {name: [] for name in workers}
    for round in range(rounds):
        console.print(f"Round {round + 1} of {rounds} ...")
        for name, worker in workers.items():
            worker.stdin.write("\n")
            worker.stdin.flush()
            said[name].append(_said(name, worker))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return first, said


def _said(name: str, worker: subprocess.Popen):
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} has died: {' '.join(map(str, worker.args))}")
    return json.loads(line)
