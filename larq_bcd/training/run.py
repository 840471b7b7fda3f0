"""A training: the stages of a recipe one after the other, and where it goes on."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

import larq_bcd
from larq_bcd._files import replacing, write_json
from larq_bcd._signals import Signals
from larq_bcd.data import decoded
from larq_bcd.data.batches import evaluation_batches, open_source, training_batches
from larq_bcd.data.sources import Source
from larq_bcd.errors import UserError
from larq_bcd.models import copy_weights, describe
from larq_bcd.summary import cost
from larq_bcd.training import networks
from larq_bcd.training.checkpoints import Checkpoints
from larq_bcd.training.curves import plot
from larq_bcd.training.distillation import DistillingModel
from larq_bcd.training.optimizers import build_optimizer
from larq_bcd.training.progress import Progress, StageProgress, summary, write_csv
from larq_bcd.training.recipe import Data, Recipe, Start
from larq_bcd.training.recipe_file import changed_keys, write_recipe
from larq_bcd.training.recorder import Recorder, metric_variables
from larq_bcd.training.schedules import WarmUpThenDecay
from larq_bcd.training.strategies import Placement
from larq_bcd.training.teachers import build_teacher, frozen


@dataclass(frozen=True)
class Lengths:
    """How long a stage is.

    Attributes:
        steps: of the stage.
        per_epoch: of an epoch, after which it is validated.
    """

    steps: int
    per_epoch: int

    @property
    def epochs(self) -> int:
        """Number of epochs, of which the last may be shorter."""
        return -(-self.steps // self.per_epoch)

    def segments(self, step: int) -> Iterator[tuple[int, int, int]]:
        """Yields the calls of `fit` that lead from a step to the end.

        Each has its first step, the steps of its epochs, and the step at its end: the rest
        of an epoch, whole epochs, and the shorter last one.
        """
        while step < self.steps:
            in_epoch = step % self.per_epoch
            whole = (self.steps - step) // self.per_epoch * self.per_epoch
            if in_epoch or not whole:
                length = min(self.per_epoch - in_epoch, self.steps - step)
                end = step + length
            else:
                length, end = self.per_epoch, step + whole
            yield step, length, end
            step = end


class Training:
    """The training of a recipe, in a folder that keeps all of it.

    Args:
        recipe: what to do.
        output: folder of the run; a run that it holds already goes on.
        placement: where it runs.
        signals: what asks it to stop.
        report: takes sentences for the user.
    """

    def __init__(
        self,
        recipe: Recipe,
        output: Path,
        placement: Placement,
        signals: Signals,
        report: Callable[[str], None],
    ):
        self.recipe = recipe
        self.output = output
        self.placement = placement
        self._signals = signals
        self._report = report if placement.is_chief else lambda message: None
        self._checkpoints = Checkpoints(
            output / "checkpoints", writes=placement.is_chief, report=self._report
        )
        self._networks: dict[int, tf.keras.Model] = {}
        placement.check_batch(recipe.batch_size)
        self.training, self.validation = open_data(recipe.data)
        self._check_lengths()

    def run(self) -> Progress:
        """Trains to the end, from where the last checkpoint is.

        Raises:
            StoppedError: if a signal asked for it.
            UserError: if the user has to do something about it.
        """
        self._check_same_recipe()
        saved = next(self._checkpoints.valid(), None)
        data = {key: source.digest for key, source in self._sources().items()}
        progress = Progress.from_json(saved[2]) if saved else Progress(data)
        if progress.data != data:
            raise UserError(
                f"the images of {self.recipe.data.name!r} are not those with which the "
                f"training in {self.output} began: bring them back, or give another --output."
            )
        if self.placement.is_chief:
            with replacing(self.output / "recipe.yaml") as temporary:
                temporary.write_text(write_recipe(self.recipe))
        if saved:
            self._report(f"Going on from step {progress.step} in {self.output}.")
        first = max(len(progress.stages) - 1, 0)
        for index in range(first, len(self.recipe.stages)):
            if len(progress.stages) <= index:
                progress.stages.append(StageProgress(self.recipe.stages[index].name))
                saved = None
            self._run_stage(index, progress, saved[1] if saved else None)
        self._finish(progress)
        return progress

    def lengths(self, index: int) -> Lengths:
        """Returns how long a stage is."""
        stage = self.recipe.stages[index]
        per_epoch = self.training.num_examples // self.recipe.batch_size
        if stage.iterations is not None:
            return Lengths(stage.iterations, min(max(per_epoch, 1), stage.iterations))
        return Lengths(int(stage.epochs or 0) * per_epoch, per_epoch)

    def _check_lengths(self) -> None:
        for index, stage in enumerate(self.recipe.stages):
            if stage.epochs and self.training.num_examples < self.recipe.batch_size:
                raise UserError(
                    f"batch_size={self.recipe.batch_size} is more than the "
                    f"{self.training.num_examples} training images: lower it, or give "
                    f"stages.{index} iterations instead of epochs."
                )
            steps = self.lengths(index).steps
            if stage.schedule.warm_up > steps:
                raise UserError(
                    f"stages.{index}.schedule.warm_up={stage.schedule.warm_up} is longer than "
                    f"the {steps} iterations of the stage."
                )

    def _sources(self) -> dict[str, Source]:
        sources = {"training": self.training}
        return (
            sources if self.validation is None else {**sources, "validation": self.validation}
        )

    def _check_same_recipe(self) -> None:
        path = self.output / "recipe.yaml"
        if not path.exists():
            return
        if changed := changed_keys(path.read_text(), self.recipe):
            raise UserError(
                f"{self.output} holds a training of another recipe, which differs in "
                f"{', '.join(changed)}: give another --output, or remove the folder to start "
                "again."
            )

    def _folder(self, index: int) -> Path:
        return self.output / f"stage{index + 1}_{self.recipe.stages[index].name}"

    def _run_stage(self, index: int, progress: Progress, restored: str | None) -> None:
        recipe, stage = self.recipe, self.recipe.stages[index]
        lengths = self.lengths(index)
        done = progress.stages[index]
        self._report(
            f"Stage {index + 1} of {len(recipe.stages)}, {stage.name}: "
            f"{recipe.network_of(index)}, binary: {stage.binary}; {lengths.steps} steps of "
            f"{recipe.batch_size} images."
        )
        # Anew in each stage, so that it is the same whether or not this process was there
        # before.
        tf.keras.utils.set_random_seed(recipe.seed + index)
        # Outside of the strategy, whose random numbers would be others.
        plain = networks.build_network(recipe, index, self.training.num_classes)
        if restored is None:
            self._start(index, plain)
        with self.placement.strategy.scope():
            model = DistillingModel(
                self._placed(index, plain), stage.loss, self._teacher(index)
            )
            schedule = WarmUpThenDecay(iterations=lengths.steps, **stage.schedule.model_dump())
            optimizer = build_optimizer(stage.optimizer, schedule, model)
            model.compile(optimizer)
            kept = {
                "network": model.network,
                "optimizer": optimizer,
                "metrics": metric_variables(model),
            }
            if random := networks.random_generators(model.network):
                kept["random"] = random
            variables = tf.train.Checkpoint(**kept)
            if restored is not None:
                variables.read(restored).assert_consumed()
        folder = self._folder(index)

        def save() -> None:
            # The files are a view of the checkpoint, which comes last.
            if self.placement.is_chief:
                write_csv(folder / "history.csv", done)
            self._checkpoints.save(progress.step, variables, progress.to_json())

        def save_best() -> None:
            self._save_weights(model, plain, folder / "best.weights.h5")

        recorder = Recorder(
            done,
            save,
            save_best,
            recipe.checkpoint_every,
            self._signals,
            folder / "tensorboard" if self.placement.is_chief else None,
        )
        self._fit(model, recorder, index, lengths, done, restored is not None)
        self._save_weights(model, plain, folder / "last.weights.h5")
        self._networks[index] = plain
        if self.placement.is_chief:
            write_json(folder / "summary.json", summary(done, images=self._images(done)))
            plot(self.output / "curves.png", progress, self.output.name)

    def _images(self, done: StageProgress) -> dict:
        seen = done.step * self.recipe.batch_size
        broken = sum(len(source.broken) for source in self._sources().values())
        return {
            "seen": seen,
            "per_second": round(seen / done.seconds, 1) if done.seconds else None,
            "broken": broken,
        }

    def _fit(self, model, recorder, index, lengths, done, restored: bool) -> None:
        """Calls `fit` for what is left of a stage."""
        values = [variable.numpy() for variable in metric_variables(model)]
        for first, steps, end in lengths.segments(done.step):
            within = restored and first % lengths.per_epoch
            recorder.expect(steps, end, values if within else None)
            with self._user_errors():
                model.fit(
                    self._training_batches(index, first),
                    initial_epoch=first // lengths.per_epoch,
                    epochs=lengths.epochs,
                    steps_per_epoch=steps,
                    validation_data=self._validation_batches(),
                    callbacks=[recorder],
                    verbose=self._verbosity(),
                )
            restored = False

    def _verbosity(self) -> int:
        """Keras's: a bar on a terminal; a line an epoch in a file, where a bar is garbage."""
        if not self.placement.is_chief:
            return 0
        return 1 if sys.stdout.isatty() else 2

    def _user_errors(self):
        stack = contextlib.ExitStack()
        for source in self._sources().values():
            stack.enter_context(source.user_errors())
        return stack

    @functools.cached_property
    def _held_images(self) -> decoded.Decoded | None:
        """The training images, decoded once, if they are small and few enough for memory."""
        preprocessing = self.recipe.preprocessing
        augmentations = [stage.augmentation for stage in self.recipe.stages]
        if not decoded.suits(self.training, preprocessing, augmentations):
            return None
        megabytes = decoded.size(self.training, preprocessing) / 1e6
        self._report(
            f"Decoding the {self.training.num_examples:,} training images, once; they stay in "
            f"memory ({megabytes:,.0f} MB)."
        )
        return decoded.Decoded(self.training, preprocessing)

    def _training_batches(self, index: int, first_step: int):
        recipe = self.recipe
        augmentation = recipe.stages[index].augmentation
        read = functools.partial(training_batches, self.training, recipe.preprocessing)
        give = self._held_images.training_batches if self._held_images else read

        def batches(size: int, shard: tuple[int, int]) -> tf.data.Dataset:
            # Another order in each stage.
            seed = recipe.seed + index
            return give(augmentation, size, seed=seed, first_step=first_step, shard=shard)

        return self.placement.distributed(batches, recipe.batch_size)

    def _validation_batches(self) -> tf.data.Dataset | None:
        if self.validation is None:
            return None
        batches = evaluation_batches(
            self.validation, self.recipe.preprocessing, self.recipe.batch_size
        )
        if decoded.size(self.validation, self.recipe.preprocessing) * 4 <= decoded.LIMIT:
            batches = batches.cache()
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        return batches.with_options(options)

    def _placed(self, index: int, plain: tf.keras.Model) -> tf.keras.Model:
        """Returns the network in the recipe's precision on the devices of the strategy."""
        precision = self.recipe.precision
        if self.placement.replicas == 1 and precision == "float32":
            return plain
        network = networks.build_network(
            self.recipe, index, self.training.num_classes, precision
        )
        network = self.placement.synchronized(network)
        network.set_weights(plain.get_weights())
        return network

    def _start(self, index: int, network: tf.keras.Model) -> None:
        """Gives the network of a new stage the weights that it starts from."""
        start = self.recipe.start_of(index)
        if isinstance(start, Start):
            networks.load_start(self.recipe, index, start, network)
        elif start == "previous":
            try:
                copy_weights(self._trained(index - 1), network)
            except ValueError as error:
                raise UserError(f"stages.{index}.start: {error}") from error

    def _trained(self, index: int) -> tf.keras.Model:
        """The network of a stage that is done, from memory or from its file."""
        if index not in self._networks:
            network = networks.build_network(self.recipe, index, self.training.num_classes)
            network.load_weights(self._folder(index) / "last.weights.h5")
            self._networks[index] = network
        return self._networks[index]

    def _teacher(self, index: int) -> Callable[[tf.Tensor], tf.Tensor] | None:
        teacher = self.recipe.teacher
        if teacher is None or not self.recipe.stages[index].loss.distillation:
            return None
        if teacher.stage is None:
            return build_teacher(teacher, self.recipe.preprocessing, self.training.num_classes)
        names = [stage.name for stage in self.recipe.stages]
        return frozen(self._trained(names.index(teacher.stage)))

    def _save_weights(self, model: DistillingModel, plain: tf.keras.Model, path: Path) -> None:
        """Writes the weights of the network as it is without any strategy."""
        if plain is not model.network:
            plain.set_weights(model.network.get_weights())
        if self.placement.is_chief:
            with replacing(path, _bytes(plain)) as temporary:
                plain.save_weights(temporary)

    def _finish(self, progress: Progress) -> None:
        """Writes the network of the last stage, and what the stages came to."""
        if not self.placement.is_chief:
            return
        last = len(self.recipe.stages) - 1
        # Built anew, without strategy or mixed precision.
        network = networks.build_network(self.recipe, last, self.training.num_classes)
        network.load_weights(self._folder(last) / "last.weights.h5")
        network = describe(network, self.recipe.preprocessing, self.training.class_names)
        with replacing(self.output / "model.keras", _bytes(network)) as temporary:
            network.save(temporary)
        costs = cost(network)
        write_json(
            self.output / "results.json",
            {
                "network": self.recipe.network_of(last),
                "dataset": self.recipe.data.name,
                "larq_bcd": larq_bcd.__version__,
                "tensorflow": tf.__version__,
                "replicas": self.placement.replicas,
                "cost": {"bops": costs.bops, "flops": costs.flops, "ops": costs.ops},
                "stages": [summary(stage) for stage in progress.stages],
            },
        )


def _bytes(network: tf.keras.Model) -> int:
    """What a file of the weights takes, with a page for what HDF5 writes of each."""
    sizes = (4096 + x.dtype.size * x.shape.num_elements() for x in network.weights)
    return sum(sizes)


def open_data(data: Data) -> tuple[Source, Source | None]:
    """Opens the split to train on and, if there is one, that to validate on.

    Raises:
        UserError: if they are not there, or have different classes.
    """
    data_dir = None if data.data_dir is None else Path(data.data_dir).expanduser()
    training = open_source(data.name, data.train, data_dir)
    if data.validation is None:
        return training, None
    validation = open_source(data.name, data.validation, data_dir)
    _check_same_classes(training, validation)
    return training, validation


def _check_same_classes(training: Source, validation: Source) -> None:
    if training.class_names != validation.class_names:
        missing = sorted(set(training.class_names) ^ set(validation.class_names))
        raise UserError(
            f"the splits {training.split!r} and {validation.split!r} of {training.name!r} have "
            f"different classes: {', '.join(missing[:10])} are in one of them alone."
        )
