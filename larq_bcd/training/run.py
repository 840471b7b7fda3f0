"""A training: the stages of a recipe one after the other, and where it goes on."""

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

import larq_bcd
from larq_bcd._files import replacing, write_json
from larq_bcd._signals import Signals
from larq_bcd.data import decoded
from larq_bcd.data.batches import evaluation_batches, training_batches
from larq_bcd.data.sources import Source
from larq_bcd.errors import UserError
from larq_bcd.models import copy_weights, describe
from larq_bcd.summary import cost
from larq_bcd.training import networks
from larq_bcd.training.checkpoints import Checkpoints
from larq_bcd.training.curves import plot
from larq_bcd.training.data import note_broken, noted_as_broken, open_data
from larq_bcd.training.distillation import DistillingModel
from larq_bcd.training.optimizers import build_optimizer
from larq_bcd.training.progress import Progress, StageProgress, summary, write_csv
from larq_bcd.training.recipe import Recipe, Start
from larq_bcd.training.recipe_file import changed_keys, write_recipe
from larq_bcd.training.recorder import Recorder, metric_variables
from larq_bcd.training.schedules import WarmUpThenDecay
from larq_bcd.training.strategies import Placement
from larq_bcd.training.teachers import build_teacher, frozen

_LENGTH = re.compile(r"stages\.\d+\.(epochs|iterations)")


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
        load_model: loads a Keras model by its path or name.
    """

    def __init__(
        self,
        recipe: Recipe,
        output: Path,
        placement: Placement,
        signals: Signals,
        report: Callable[[str], None],
        load_model: Callable[[str], tf.keras.Model],
    ):
        self.recipe = recipe
        self.output = output
        self.placement = placement
        self._signals = signals
        self._load_model = load_model
        self._report = report if placement.is_chief else lambda message: None
        self._checkpoints = Checkpoints(
            output / "checkpoints", writes=placement.is_chief, report=self._report
        )
        self._networks: dict[int, tf.keras.Model] = {}
        placement.check_batch(recipe.batch_size)
        self.sources = open_data(recipe.data)
        self._given_teacher: Callable[[tf.Tensor], tf.Tensor] | None = None
        self._check_lengths()

    def run(self) -> Progress:
        """Trains to the end, from where the last checkpoint is.

        Raises:
            StoppedError: if a signal asked for it.
            UserError: if the user has to do something about it.
        """
        saved = next(self._checkpoints.valid(), None)
        progress = Progress.from_json(saved[2]) if saved else Progress(self._digests())
        lengths = self._changed_lengths()
        if progress.data != self._digests():
            self._open_without_removed(progress)
        if lengths:
            self._check_longer(lengths, progress)
        if self.placement.is_chief:
            with replacing(self.output / "recipe.yaml") as temporary:
                temporary.write_text(write_recipe(self.recipe))
        if saved:
            self._report(f"Going on from step {progress.step} in {self.output}.")
        first = max(len(progress.stages) - 1, 0)
        if any(stage.loss.distillation for stage in self.recipe.stages[first:]):
            self.check_teacher()
        for index in range(first + 1, len(self.recipe.stages)):
            self.check_start(index)
        for index in range(first, len(self.recipe.stages)):
            if len(progress.stages) <= index:
                progress.stages.append(StageProgress(self.recipe.stages[index].name))
                saved = None
            self._run_stage(index, progress, saved[1] if saved else None)
        self._finish(progress)
        return progress

    @property
    def training(self) -> Source:
        """The images to train on."""
        return self.sources["training"]

    @property
    def validation(self) -> Source | None:
        """The images to validate on."""
        return self.sources.get("validation")

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
            warm_up = stage.schedule.warm_up_steps(steps)
            if warm_up > steps / 2:
                self._report(
                    f"Warning: stages.{index}.schedule.warm_up={stage.schedule.warm_up} takes "
                    f"{min(warm_up, steps)} of the {steps} iterations of the stage"
                    + (", and the rate never reaches its peak" if warm_up > steps else "")
                    + ": a share such as 0.1 follows the length of the stage."
                )

    def check_teacher(self) -> None:
        """Builds the teacher, unless it is a stage.

        Raises:
            UserError: if it cannot be had, or is of other images or classes.
        """
        teacher = self.recipe.teacher
        if teacher is None or teacher.stage is not None:
            return
        self._report(f"Building the teacher, {teacher.file or teacher.network}.")
        if teacher.network is not None and teacher.weights is None:
            self._report("Warning: its weights are random; give teacher.weights.")
        # The same random ones whatever was built before.
        tf.keras.utils.set_random_seed(self.recipe.seed)
        with self.placement.strategy.scope():
            self._given_teacher = build_teacher(
                teacher,
                self.recipe.preprocessing,
                self.training.class_names,
                self._load_model,
            )

    def _digests(self) -> dict[str, str]:
        return {key: source.digest for key, source in self.sources.items()}

    def _changed_lengths(self) -> list[str]:
        """Returns the keys of the stages that have another length than when the run began.

        Raises:
            UserError: if something else has changed.
        """
        path = self.output / "recipe.yaml"
        # One that failed before there was anything of it may be mended.
        kept = ("checkpoints", "results.json", "stage*/*.h5", "*.keras")
        is_kept = path.exists() and any(any(self.output.glob(pattern)) for pattern in kept)
        changed = changed_keys(path.read_text(), self.recipe) if is_kept else []
        if not all(_LENGTH.fullmatch(key) for key in changed):
            raise UserError(
                f"{self.output} holds a training of another recipe, which differs in "
                f"{', '.join(changed)}: give another --output, or remove the folder to start "
                "again; of a run that goes on, only the length of its last stage may change."
            )
        return changed

    def _check_longer(self, changed: list[str], progress: Progress) -> None:
        """Raises a UserError if a stage has another length that has been trained already."""
        last = max(len(progress.stages) - 1, 0)
        made = progress.stages[last].step if progress.stages else 0
        steps = self.lengths(last).steps
        if steps < made or any(int(key.split(".")[1]) < last for key in changed):
            raise UserError(
                f"{', '.join(changed)}: stages.{last} has made {made} steps in {self.output}. "
                "It can be made longer, and so can those after it; for other lengths give "
                "another --output, whose first stage may start from "
                f"{{file: {self._folder(last) / 'last.weights.h5'}}}."
            )
        self._report(
            f"{', '.join(changed)}: from step {made} of stages.{last} on, the learning rate is "
            f"that of {steps} steps."
        )

    def _open_without_removed(self, progress: Progress) -> None:
        """Opens the data as they were before broken images were removed.

        Raises:
            UserError: if they are others otherwise.
        """
        self.sources = open_data(self.recipe.data, noted_as_broken(self.output))
        if progress.data != self._digests():
            raise UserError(
                f"the images of {self.recipe.data.name!r} are not those with which the "
                f"training in {self.output} began: bring them back, or give another --output."
            )
        count = sum(len(source.gone) for source in self.sources.values())
        self._report(f"Broken images are gone, {count}; all others keep their places.")

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
            placed = self._placed(index, plain)
            networks.freeze(recipe, index, placed)
            model = DistillingModel(placed, stage.loss, self._teacher(index))
            rates = stage.schedule.model_dump()
            rates["warm_up"] = stage.schedule.warm_up_steps(lengths.steps)
            schedule = WarmUpThenDecay(iterations=lengths.steps, **rates)
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
                note_broken(self.output, self.sources)
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
        if done.step < lengths.steps:
            ended = done.epochs[-1]["step"] if done.epochs else 0
            if done.step == ended and done.step % lengths.per_epoch:
                done.epochs.pop()  # the short last one of a stage that is longer now
        self._fit(model, recorder, index, lengths, done, restored is not None)
        self._save_weights(model, plain, folder / "last.weights.h5")
        self._networks[index] = plain
        if self.placement.is_chief:
            write_json(folder / "summary.json", summary(done, images=self._images(done)))
            plot(self.output / "curves.png", progress, self.output.name)

    def _images(self, done: StageProgress) -> dict:
        seen = done.step * self.recipe.batch_size
        broken = sum(len(source.broken) for source in self.sources.values())
        return {
            "seen": seen,
            "per_second": round(seen / done.seconds, 1) if done.seconds else None,
            "broken": broken,
        }

    def _fit(self, model, recorder, index, lengths, done, restored: bool) -> None:
        """Calls `fit` for what is left of a stage."""
        values = [variable.numpy() for variable in metric_variables(model)]
        for number, (first, steps, end) in enumerate(lengths.segments(done.step)):
            within = restored and first % lengths.per_epoch
            recorder.expect(steps, end, values if within else None)
            with self._user_errors():
                batches = self._training_batches(index, first)
                if not number:
                    self._report("Tracing the network, once; the steps after it are quick.")
                model.fit(
                    batches,
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
        if self.placement.is_chief:
            stack.callback(note_broken, self.output, self.sources)
        for source in self.sources.values():
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

    def check_start(self, index: int, network: tf.keras.Model | None = None) -> None:
        """Looks whether a stage can start from what it is to start from.

        The stage before it need not be trained yet: its network is built.

        Args:
            index: of the stage.
            network: the stage's, which gets some weights; built anew if it is not given.

        Raises:
            UserError: if it starts from a file that is not there, or from another network.
        """
        self.start_from_file(index, network)
        recipe, classes = self.recipe, self.training.num_classes
        if recipe.start_of(index) != "previous":
            return
        if recipe.network_of(index - 1) != recipe.network_of(index):
            before = networks.build_network(recipe, index - 1, classes)
            network = network or networks.build_network(recipe, index, classes)
            self._copy_previous(index, before, network)

    def start_from_file(self, index: int, network: tf.keras.Model | None = None) -> None:
        """Gives the network of a stage the weights of a file, if it starts from one.

        Args:
            index: of the stage.
            network: built anew if it is not given.

        Raises:
            UserError: if there is no such file, or it is of another network.
        """
        start = self.recipe.start_of(index)
        if isinstance(start, Start):
            classes = self.training.num_classes
            network = network or networks.build_network(self.recipe, index, classes)
            networks.load_start(self.recipe, index, start, network)

    def _start(self, index: int, network: tf.keras.Model) -> None:
        """Gives the network of a new stage the weights that it starts from."""
        self.start_from_file(index, network)
        if self.recipe.start_of(index) == "previous":
            self._copy_previous(index, self._trained(index - 1), network)

    def _copy_previous(
        self, index: int, before: tf.keras.Model, network: tf.keras.Model
    ) -> None:
        try:
            copy_weights(before, network)
        except ValueError as error:
            raise UserError(
                f"stages.{index}.start: {error} Or start from random weights: start: random."
            ) from error

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
            return self._given_teacher
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
