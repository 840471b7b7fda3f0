"""The callback that counts the steps of a stage, writes its checkpoints and its logs."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from larq_bcd._signals import Signals
from larq_bcd.errors import UserError
from larq_bcd.training.allocator import keep_memory
from larq_bcd.training.progress import StageProgress

# Steps between two points in TensorBoard.
_LOG_EVERY = 20


class StoppedError(Exception):
    """A training was asked to stop, and has written a checkpoint.

    Attributes:
        signal: the number of the signal that asked.
    """

    def __init__(self, signal_number: int):
        super().__init__(f"signal {signal_number}")
        self.signal = signal_number


class Recorder(tf.keras.callbacks.Callback):
    """Counts steps, and calls what has to be done at some of them.

    Args:
        stage: grows by a step with each batch, and by an epoch at each end of one.
        save: writes a checkpoint.
        save_best: keeps the weights of the best epoch so far.
        checkpoint_every: steps between checkpoints within an epoch.
        signals: what asks to stop.
        board: folder for TensorBoard, or None.
    """

    def __init__(
        self,
        stage: StageProgress,
        save: Callable[[], None],
        save_best: Callable[[], None],
        checkpoint_every: int,
        signals: Signals,
        board: Path | None,
    ):
        super().__init__()
        self._stage = stage
        self._save = save
        self._save_best = save_best
        self._every = checkpoint_every
        self._signals = signals
        self._board = tf.summary.create_file_writer(str(board)) if board else None
        self._restored: list | None = None
        self._epoch_end = 0
        self._segment_end = 0
        self._since = time.monotonic()

    def expect(self, steps_per_epoch: int, segment_end: int, restored: list | None) -> None:
        """Prepares a call of `fit`."""
        self._steps_per_epoch = steps_per_epoch
        self._segment_end = segment_end
        self._restored = restored

    def on_epoch_begin(self, epoch, logs=None):
        """Gives the metrics what they were when the epoch was interrupted."""
        keep_memory()
        self._epoch_end = self._stage.step + self._steps_per_epoch
        self._since = time.monotonic()
        if self._restored is not None:
            variables = metric_variables(self.model)
            for variable, value in zip(variables, self._restored, strict=True):
                variable.assign(value)
            self._restored = None

    def on_train_batch_end(self, batch, logs=None):
        """Counts the step; writes a checkpoint and a point of the curves when it is time."""
        self._stage.step += 1
        step = self._stage.step
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"stage {self._stage.name!r}: the loss is {logs['loss']} at step {step}: lower "
                "the learning rate or lengthen the warm-up, and start again with another "
                "--output."
            )
        if step % _LOG_EVERY == 0 or step == self._epoch_end:
            self._log(step, {**logs, "learning_rate": self._learning_rate()})
        stops = self._signals.received
        if step < self._epoch_end and (stops or not step % self._every):
            self._count_seconds()
            self._save()
            if stops:
                raise StoppedError(stops)

    def on_epoch_end(self, epoch, logs=None):
        """Notes the metrics of the epoch, and writes a checkpoint."""
        stage = self._stage
        values = {key: float(value) for key, value in logs.items()}
        values["learning_rate"] = self._learning_rate()
        stage.epochs.append({"epoch": epoch + 1, "step": stage.step, **values})
        validation = {key: value for key, value in values.items() if key.startswith("val_")}
        self._log(stage.step, validation)
        self._log_thresholds(stage.step)
        if stage.best() is stage.epochs[-1]:
            self._save_best()
        self._count_seconds()
        self._save()
        if self._signals.received is not None:
            raise StoppedError(self._signals.received)
        if stage.step >= self._segment_end:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Writes out what TensorBoard has not got yet."""
        if self._board:
            self._board.flush()

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self._stage.seconds += now - self._since
        self._since = now

    def _learning_rate(self) -> float:
        return float(self.model.optimizer.learning_rate.numpy())

    def _log(self, step: int, values: dict) -> None:
        if not self._board:
            return
        with self._board.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def _log_thresholds(self, step: int) -> None:
        if not self._board:
            return
        with self._board.as_default(step):
            for name, values in thresholds(self.model.network).items():
                tf.summary.histogram(f"thresholds/{name}", values)


def thresholds(network: tf.keras.Model) -> dict[str, tf.Variable]:
    """Returns the learned thresholds of a network's signs, by the names of their layers."""
    found = {}
    for layer in network.layers:
        if layer.name.endswith("_threshold"):
            found[layer.name] = layer.weights[0]
        elif isinstance(getattr(layer, "threshold", None), tf.Variable):
            found[layer.name] = layer.threshold
    return found


def metric_variables(model: tf.keras.Model) -> list[tf.Variable]:
    """Returns the variables of a model's metrics."""
    return [variable for metric in model.metrics for variable in metric.variables]
