"""What a step of `larq-bcd train` costs beyond the bare one, part by part.

The network, its first stage and the augmentation are those of models/bcdnet_b_cifar10, the
images are made here. Each part has all that is above it and one thing more, in a process of its
own, and they take turns. Checkpoints and validation come once an epoch, and are left out.

python benchmarks/train_parts.py --rounds 10
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from in_turns import Worker, take_turns
from rich.console import Console
from rich.table import Table

_RECIPE = Path(__file__).parents[1] / "models/bcdnet_b_cifar10/recipe.yaml"
_WARM_UP, _STEPS = 10, 40
_EPOCH = 351  # steps, of 45,000 images

PARTS = (
    "bare step",
    "determinism",
    "loss and metrics of a training",
    "Keras's loop, and the recorder",
    "reading and augmenting",
)


def serve(part: str, folder: Path) -> None:
    """Trains, and waits for its turns."""
    # Settles Keras and oneDNN, so it comes before TensorFlow.
    import larq_bcd  # noqa: F401, I001
    import tensorflow as tf
    from larq_bcd._signals import Signals
    from larq_bcd.data.batches import open_source
    from larq_bcd.data.decoded import Decoded
    from larq_bcd.training import networks
    from larq_bcd.training.allocator import keep_memory
    from larq_bcd.training.distillation import DistillingModel
    from larq_bcd.training.optimizers import build_optimizer
    from larq_bcd.training.progress import StageProgress
    from larq_bcd.training.recipe_file import read_recipe
    from larq_bcd.training.recorder import Recorder
    from larq_bcd.training.schedules import WarmUpThenDecay

    has = PARTS.index(part)
    if has >= 1:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    recipe = read_recipe(str(_RECIPE), [])
    stage = recipe.stages[0]
    source = open_source(str(folder), "train")
    network = networks.build_network(recipe, 0, source.num_classes)
    model = DistillingModel(network, stage.loss)
    optimizer = build_optimizer(stage.optimizer, WarmUpThenDecay(1e-3, 1000), model)
    model.compile(optimizer)
    batches = Decoded(source, recipe.preprocessing).training_batches(
        stage.augmentation, recipe.batch_size, seed=0
    )
    images, labels = next(iter(batches))
    turn = Worker(_WARM_UP, _STEPS)
    keep_memory()

    class Turns(tf.keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            turn()

    @tf.function
    def bare():
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            loss = tf.keras.losses.sparse_categorical_crossentropy(labels, logits, True)
            loss = tf.reduce_mean(loss)
        optimizer.minimize(loss, network.trainable_variables, tape=tape)
        return loss

    @tf.function
    def trained():
        return model.train_step((images, labels))

    if has < 3:
        while True:
            turn()
            (trained if has == 2 else bare)()
    if has == 3:
        batches = tf.data.Dataset.from_tensors((images, labels)).repeat()
    recorder = Recorder(
        StageProgress(stage.name),
        save=lambda: None,
        save_best=lambda: None,
        checkpoint_every=1000,
        signals=Signals(),
        board=folder / part,
    )
    recorder.expect(_EPOCH, 1000 * _EPOCH, None)
    # The turns have the standard output.
    model.fit(
        batches, epochs=1000, steps_per_epoch=_EPOCH, callbacks=[Turns(), recorder], verbose=0
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help=f"turns of {_STEPS} steps")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], Path(options.serve[1]))
        return 0
    import data  # TensorFlow comes with it, which a worker settles first

    with tempfile.TemporaryDirectory() as folder:
        data.write_images(Path(folder), data.CASES[1], count=1280)
        commands = {part: [sys.executable, __file__, "--serve", part, folder] for part in PARTS}
        _, times = take_turns(commands, options.rounds, {})
    show(times)
    return 0


def show(times: dict[str, list[tuple[float, float]]]) -> None:
    """Prints the table; the ratios are medians over the rounds, of neighbors in time."""
    table = Table(title="A step of larq-bcd train, models/bcdnet_b_cifar10, its first stage")
    for column in ("with", "s per step", "CPU s", "x bare step"):
        table.add_column(column, justify="right")
    for name, own in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*own, strict=True))
        pairs = zip(own, times[PARTS[0]], strict=True)
        ratio = statistics.median(ours[0] / bare[0] for ours, bare in pairs)
        table.add_row(name, f"{wall:.3f}", f"{cpu:.3f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
