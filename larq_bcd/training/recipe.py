"""The recipe of a training, as data: what it may say, and what it must not.

`larq_bcd.training.recipe_file` reads one from YAML.
"""

import inspect
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from larq_bcd import models
from larq_bcd._names import did_you_mean
from larq_bcd.data.augmentation import Augmentation
from larq_bcd.data.preprocessing import Preprocessing

# Arguments of a network that follow from the rest of the recipe.
_DERIVED = {
    "input_shape", "input_tensor", "weights", "include_top", "num_classes", "name", "pooling",
}  # fmt: skip
RESNET50 = "ResNet50"


class Section(BaseModel):
    """A part of a recipe; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Data(Section):
    """The images."""

    name: str
    """A data set of tensorflow_datasets, or a folder of class folders."""
    train: str = "train"
    """Split to train on."""
    validation: str | None = "test"
    """Split to validate on after each epoch."""
    data_dir: str | None = None
    """Where tensorflow_datasets keeps what it has prepared."""


class Optimizer(Section):
    """How gradients become updates."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """`adamw` decays the weights apart from the gradient; `adam` and `sgd` (momentum 0.9) add
    the decay to the gradient, as PyTorch's do."""
    weight_decay: NonNegativeFloat = 0.0
    """Factor of the decay."""
    decays: Literal["all", "kernels", "convolutions"] = "all"
    """Which parameters decay: all; the kernels of convolutions and dense layers; or, as in
    ReActNet's official code, the kernels of convolutions and the learned biases beside them
    (thresholds, and RPReLU's two), which have four axes there."""


def _steps_or_share(warm_up: float) -> float:
    if warm_up > 1 and warm_up % 1:
        raise ValueError(
            f"warm_up={warm_up} is not supported: pass a whole number of iterations, or a "
            "share of the stage below 1, such as 0.1"
        )
    return warm_up if warm_up % 1 else int(warm_up)


class Schedule(Section):
    """The learning rate by iteration: a linear warm-up to its peak, then a decay."""

    peak: PositiveFloat
    """Rate after the warm-up."""
    start: NonNegativeFloat = 0.0
    """Rate at the start of the warm-up."""
    end: NonNegativeFloat = 0.0
    """Rate at the end of the stage."""
    warm_up: Annotated[
        NonNegativeFloat, AfterValidator(_steps_or_share), PlainSerializer(lambda value: value)
    ] = 0
    """Iterations of the warm-up, or below 1 its share of the stage, such as 0.1."""
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    """Course from the peak to the end."""

    def warm_up_steps(self, iterations: int) -> int:
        """Returns the iterations of the warm-up in a stage of so many."""
        return int(self.warm_up) if self.warm_up >= 1 else round(self.warm_up * iterations)


class Loss(Section):
    """Cross-entropy with the labels, and with a teacher's probabilities."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the label that is spread over all classes."""
    distillation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of the teacher's cross-entropy; that of the labels has the rest."""


class Teacher(Section):
    """The frozen network whose probabilities are distilled: give `file`, `network` or `stage`.

    `teacher: model.keras`, a path alone, is `teacher: {file: model.keras}`.
    """

    file: str | None = None
    """A trained Keras model, or a trained network by name, such as `BCDNetB:cifar10`."""
    network: str | None = None
    """`ResNet50` of tf.keras.applications, or a network of larq_bcd."""
    arguments: dict[str, Any] = {}
    """Arguments of a network of larq_bcd."""
    weights: str | None = None
    """`imagenet` for ResNet50, or a file; without, they are random, which is for trials."""
    stage: str | None = None
    """Name of a stage before, whose trained network is the teacher."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_name(cls, content: Any) -> Any:
        if not isinstance(content, str):
            return content
        is_network = content == RESNET50 or content in models.list_models()
        return {"network" if is_network else "file": content}

    @model_validator(mode="after")
    def _one_of_three(self):
        given = [x for x in (self.file, self.network, self.stage) if x is not None]
        if len(given) != 1:
            raise ValueError("give one of file, network and stage")
        if self.network is None and (self.weights is not None or self.arguments):
            raise ValueError(
                "a file and a stage have their own weights and arguments: leave them out"
            )
        if self.network not in (None, RESNET50):
            _check_network(self.network, self.arguments)
        return self


class Start(Section):
    """Weights to start from: a file, or by default those of the stage before."""

    file: str
    """Keras model or weights, official PyTorch checkpoint, or name of published weights."""
    network: str | None = None
    """The network of the file, if it is another one than that of the stage."""
    num_classes: PositiveInt | None = None
    """Classes of the file, if the data have others; the classifier is then a new one."""


class Stage(Section):
    """A part of the training, with an optimizer of its own."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Name, of its folder too."""
    binary: Literal["none", "activations", "all"]
    """What is binary: nothing, the activations (step 1 of the papers), or both."""
    network: str | None = None
    """Network, if it is another one than the recipe's."""
    iterations: PositiveInt | None = None
    """Length in steps; give it or `epochs`."""
    epochs: PositiveInt | None = None
    """Length in passes over the training images."""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule
    loss: Loss = Loss()
    augmentation: Augmentation = Augmentation()
    start: Literal["previous", "random"] | Start | None = None
    """What it starts from; by default `previous`, and in the first stage `random`."""
    trainable: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    ] = ("all",)
    """Layers that are trained: `all`, `head` for the classifier alone, or a list of these and
    of patterns of layer names, such as `[head, mlp3_*]`; the others stay as they are, the
    statistics of their batch norms too."""

    @model_validator(mode="after")
    def _possible(self):
        if (self.iterations is None) == (self.epochs is None):
            raise ValueError("give either iterations or epochs")
        return self


class Recipe(Section):
    """A training from the data to the last stage."""

    network: str
    """Network of larq_bcd."""
    arguments: dict[str, Any] = {}
    """Its arguments, such as width and strides."""
    data: Data
    preprocessing: Preprocessing = Preprocessing()
    batch_size: PositiveInt = 256
    """Images of a step, over all replicas."""
    seed: NonNegativeInt = 0
    """Of the initial weights, the order of the images and their augmentation."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Precision of activations and gradients; the weights are float32."""
    deterministic: bool = True
    """Whether the same run gives the same bits again; slower on a GPU."""
    checkpoint_every: PositiveInt = 1000
    """Steps between checkpoints; there is one after each epoch too."""
    teacher: Teacher | None = None
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    smoke: bool = False
    """A run of seconds on the same path, with the changes of `smoke_settings`."""
    smoke_settings: dict[str, Any] = {}
    """What `smoke` changes: values by path, such as `stages.*.iterations: 4`."""

    @model_validator(mode="after")
    def _consistent(self):
        _check_network(self.network, self.arguments)
        if self.preprocessing.encoding != "float32":
            raise ValueError(
                f"preprocessing.encoding={self.preprocessing.encoding!r}: networks train on "
                "float32; leave it out, and give lce_convert --input-type instead"
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages: the names {names} are not all different")
        for index, stage in enumerate(self.stages):
            self._check_stage(index, stage)
        if self.teacher is not None:
            self._check_teacher(self.teacher, names)
        return self

    def _check_stage(self, index: int, stage: Stage) -> None:
        where = f"stages.{index}"
        if stage.network is not None:
            try:
                _check_network(stage.network, self.arguments)
            except ValueError as error:
                raise ValueError(f"{where}.network: {error}") from None
        if stage.binary != "none" and not models.model_info(self.network_of(index)).is_binary:
            raise ValueError(
                f"{where}.binary={stage.binary!r}: {self.network_of(index)} has nothing "
                "binary: use 'none', or another network"
            )
        if index == 0 and stage.start == "previous":
            raise ValueError(f"{where}.start: 'previous' has no stage before it: use 'random'")
        if stage.loss.distillation and self.teacher is None:
            raise ValueError(
                f"{where}.loss.distillation={stage.loss.distillation} needs a teacher: add "
                "the section teacher, or set it to 0"
            )
        if stage.augmentation.mixes and self.batch_size % 2:
            raise ValueError(
                f"batch_size={self.batch_size} is odd, but mixup and cutmix of {where} mix "
                "pairs: make it even"
            )

    def _check_teacher(self, teacher: Teacher, names: list[str]) -> None:
        taught = [index for index, stage in enumerate(self.stages) if stage.loss.distillation]
        if not taught:
            raise ValueError(
                "teacher: no stage has a loss.distillation above 0: set one, or leave the "
                "teacher out"
            )
        if teacher.stage is not None and teacher.stage not in names[: taught[0]]:
            raise ValueError(
                f"teacher.stage={teacher.stage!r} is not a stage before the first that it "
                f"teaches, {names[taught[0]]!r}: use one of {names[: taught[0]]}"
            )
        if teacher.network == RESNET50 and self.preprocessing.channels != 3:
            raise ValueError("teacher.network: ResNet50 takes images of three channels")

    def start_of(self, index: int) -> Literal["previous", "random"] | Start:
        """Returns what a stage starts from."""
        return self.stages[index].start or ("previous" if index else "random")

    def network_of(self, index: int) -> str:
        """Returns the name of a stage's network."""
        return self.stages[index].network or self.network


def _check_network(name: str, arguments: dict[str, Any]) -> None:
    parameters = inspect.signature(models.model_info(name).build).parameters
    allowed = [key for key in parameters if key not in _DERIVED]
    for key in arguments:
        if key in _DERIVED:
            raise ValueError(
                f"arguments.{key} follows from the rest of the recipe: leave it out"
            )
        if key not in allowed:
            raise ValueError(
                f"arguments.{key} is not an argument of {name}, which has "
                f"{', '.join(allowed)}{did_you_mean(key, allowed, '; ')}"
            )
