"""Training on several devices and machines, by `tf.distribute`."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from larq_bcd._choices import STRATEGIES
from larq_bcd.errors import UserError
from larq_bcd.layers import BatchNormalization
from larq_bcd.training.synchronized import SynchronizedBatchNormalization


@dataclass(frozen=True)
class Placement:
    """Where a training runs.

    Attributes:
        strategy: what distributes it.
        worker: number of this process, of those that train together.
        workers: number of the processes.
        is_chief: whether this process writes the files of the run.
    """

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files of the run: the first does."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Number of the devices that share each batch."""
        return self.strategy.num_replicas_in_sync

    def check_batch(self, batch_size: int) -> None:
        """Raises a UserError unless a batch divides among the replicas."""
        if batch_size % self.replicas:
            raise UserError(
                f"batch_size={batch_size} does not divide among {self.replicas} replicas: "
                f"set it to {batch_size // self.replicas * self.replicas or self.replicas} "
                f"or {(batch_size // self.replicas + 1) * self.replicas}."
            )

    def distributed(self, batches: Callable[[int, tuple[int, int]], tf.data.Dataset], size):
        """Returns the batches of this process, as `model.fit` takes them.

        Args:
            batches: function from the number of examples of this process in each step, and
                its shard, to a data set.
            size: examples of a step over all replicas.
        """
        of_worker = size // self.workers
        local = self.replicas // self.workers
        if self.replicas == 1:
            return batches(of_worker, (self.worker, self.workers))

        def of_process(_) -> tf.data.Dataset:
            dataset = batches(of_worker, (self.worker, self.workers))
            return dataset if local == 1 else dataset.flat_map(parts)

        def parts(*batch) -> tf.data.Dataset:
            # A replica takes one batch of its own from the data set in each step.
            split = [
                tf.reshape(part, tf.concat([[local, -1], tf.shape(part)[1:]], 0))
                for part in batch
            ]
            shaped = [
                tf.ensure_shape(part, [local, of_worker // local, *original.shape[1:]])
                for part, original in zip(split, batch, strict=True)
            ]
            return tf.data.Dataset.from_tensor_slices(tuple(shaped))

        return self.strategy.distribute_datasets_from_function(of_process)

    def synchronized(self, network: tf.keras.Model) -> tf.keras.Model:
        """Returns a network whose batch norms see the whole batch, not a replica's part.

        Its weights are new ones. With one replica it is the network itself.
        """
        if self.replicas == 1:
            return network

        def clone(layer):
            if type(layer) in (tf.keras.layers.BatchNormalization, BatchNormalization):
                return SynchronizedBatchNormalization.from_config(layer.get_config())
            return type(layer).from_config(layer.get_config())

        return tf.keras.models.clone_model(network, clone_function=clone)


def choose_placement(name: str) -> Placement:
    """Chooses where to train.

    Args:
        name: `"none"` for one device; `"mirrored"` for all GPUs of this machine;
            `"multi_worker"` for the processes of the environment variable `TF_CONFIG`;
            `"tpu"`; or `"auto"` for what is there.

    Raises:
        UserError: if it is not there.
    """
    if name == "auto":
        name = _present()
    if name == "none":
        return Placement(tf.distribute.get_strategy())
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Placement(tf.distribute.MirroredStrategy([device.name for device in devices]))
    if name == "multi_worker":
        return _multi_worker()
    if name == "tpu":
        return _tpu()
    raise UserError(f"--strategy {name!r} is not one of {', '.join(STRATEGIES)}.")


def _present() -> str:
    if _cluster():
        return "multi_worker"
    if os.environ.get("TPU_NAME"):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "none"


def _cluster() -> dict:
    """What TF_CONFIG says of the processes that train together."""
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    except ValueError:
        raise UserError(
            "TF_CONFIG is not valid JSON: set it as tf.distribute describes."
        ) from None
    return config if config.get("cluster", {}).get("worker") else {}


def _multi_worker() -> Placement:
    config = _cluster()
    if not config:
        raise UserError(
            "--strategy multi_worker needs the environment variable TF_CONFIG, such as "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", '
            '"index": 0}}, with its own index in every process.'
        )
    workers = config["cluster"]["worker"]
    index = config.get("task", {}).get("index")
    if config.get("task", {}).get("type") != "worker" or index not in range(len(workers)):
        raise UserError(
            f"TF_CONFIG: the task is {config.get('task')}, but has to be a worker with an "
            f"index of 0 to {len(workers) - 1}."
        )
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=_TIMEOUT)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    return Placement(strategy, index, len(workers))


# Seconds after which a step that waits for another worker is given up.
_TIMEOUT = 300.0


def _tpu() -> Placement:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return Placement(tf.distribute.TPUStrategy(resolver))
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"--strategy tpu: there is no TPU ({reason}): set TPU_NAME, or choose another."
        ) from error
