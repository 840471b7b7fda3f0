"""What every command accepts, without TensorFlow: help and a mistyped option take no time."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from larq_bcd import _choices
from larq_bcd.commands.parser import (
    FLOATS,
    Parser,
    SomeOf,
    named_shape,
    not_a_setting,
    positive_number,
    whole_number,
)

_EXAMPLES, _EXIT_STATUS = "\n\nexamples:\n", "\n\nexit status:\n"
_STATUSES = """\
  0    done
  2    the arguments or the files they name are at fault
  130  interrupted; nothing is written"""
_MODEL = (
    "a .keras or .h5 file, a SavedModel folder, a name that `larq-bcd models` or, trained, "
    "`larq-bcd models --pretrained` lists, or one of Larq Zoo, such as larq_zoo.sota.QuickNet"
)


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: what is typed, such as `larq-bcd train`.
        module: has `run(arguments, signals)`, which returns the exit status.
        summary: a few words for the list of the commands.
        add_arguments: declares what it accepts; its docstring is the help: what the command
            does, examples, and what its exit statuses mean where that is not as usual.
    """

    name: str
    module: str
    summary: str
    add_arguments: Callable[[Parser], None]

    def parser(self) -> Parser:
        """Returns its parser."""
        description, _, rest = (inspect.getdoc(self.add_arguments) or "").partition(_EXAMPLES)
        examples, _, statuses = rest.partition(_EXIT_STATUS)
        epilog = f"{_EXAMPLES}{examples}{_EXIT_STATUS}{statuses or _STATUSES}\n".strip()
        parser = Parser(self.name, description, epilog)
        self.add_arguments(parser)
        return parser


# By the word after `larq-bcd`.
COMMANDS: dict[str, Command] = {}


def _command(name: str, summary: str, module: str = ""):
    word = name.split()[-1]

    def declared(add_arguments: Callable[[Parser], None]) -> None:
        path = f"larq_bcd.commands.{module or word}"
        COMMANDS[word] = Command(name, path, summary, add_arguments)

    return declared


@_command("larq-bcd train", "train a network by a recipe")
def _train(parser: Parser) -> None:
    """Trains a network by a recipe; a training that was stopped or killed goes on.

    examples:
      larq-bcd train birds.yaml --dry-run
      larq-bcd train models/bcdnet_b_cifar10/recipe.yaml smoke=true
      larq-bcd train models/bcdnet_b_cifar10/recipe.yaml data.data_dir=~/tensorflow_datasets
      larq-bcd train my_recipe.yaml batch_size=64 stages.1.epochs=10 --output runs/longer
      larq-bcd train models/bcdnet_a_imagenet2012/recipe.yaml --strategy mirrored

    exit status:
      0    done
      2    the arguments or the files they name are at fault
      130  interrupted, 143 after SIGTERM; its state is kept, and the same command goes on
           from it
    """
    add = parser.add_argument
    add("recipe", metavar="RECIPE", type=not_a_setting, help="recipe.yaml, or its folder")
    parser.add_settings("changes to the recipe by dotted path; * stands for every stage")
    add(
        "--output",
        metavar="FOLDER",
        type=Path,
        help="folder of the run (by default runs/, and the name of the recipe's folder)",
    )
    add(
        "--strategy",
        choices=_choices.STRATEGIES,
        default="auto",
        help="devices to train on; multi_worker is one process on each machine, with its "
        "place in TF_CONFIG, and an --output that all of them see; tpu has never run on one",
    )
    add(
        "--dry-run",
        action="store_true",
        help="print the whole recipe, the images and the steps of each stage, draw the first "
        "augmented batch in the folder of the run, and end",
    )


@_command("larq-bcd evaluate", "accuracy of a model or .tflite file")
def _evaluate(parser: Parser) -> None:
    """Evaluates a classifier, a Keras model or a .tflite file, on a split of data.

    examples:
      larq-bcd evaluate bcdnet_b.tflite --recipe models/bcdnet_b_cifar10/recipe.yaml
      larq-bcd evaluate bcdnet_a.keras --dataset imagenet2012 --resize 256
      larq-bcd evaluate BCDNetB:cifar10 --dataset cifar10
      larq-bcd evaluate birds.keras --dataset ~/birds --split validation --json birds.json \\
          --confusion birds.png
    """
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help=".keras or .h5 file, SavedModel folder, .tflite file, or a name that `larq-bcd "
        "models --pretrained` lists",
    )
    add(
        "--recipe",
        type=Path,
        help="recipe.yaml of the training: its data, validation split and preprocessing",
    )
    add(
        "--dataset",
        help="data set of tensorflow_datasets, such as cifar10 or imagewoof/64px, or a folder "
        "of class folders",
    )
    add(
        "--split",
        help="split to evaluate (default: test, validation or train, the first that there is)",
    )
    add("--data-dir", help="where tensorflow_datasets keeps its data sets")
    _add_preprocessing(parser)
    add("--batch-size", type=whole_number(1), default=32, help="images at once (32)")
    add("--threads", type=whole_number(1, 64), help="threads for a .tflite file (all)")
    parser.add_output("--json", metavar="FILE", help="file for the results as JSON")
    parser.add_output(
        "--confusion",
        metavar="FILE",
        suffixes=(".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps"),
        help="file for a picture of the confusion matrix",
    )
    _add_loading(parser)


@_command("larq-bcd import", "PyTorch checkpoint to Keras model", module="import_checkpoint")
def _import(parser: Parser) -> None:
    """Turns an official PyTorch checkpoint into a Keras model.

    The model says of itself how its images are prepared and, of a thousand classes, the names
    of ImageNet's. What the file is, its content says: PyTorch's format or safetensors, the
    tensors alone or beside others, with the prefixes of parallel training and compilers or
    without. A file of another network, of other classes or of broken values is refused, and
    says which.

    examples:
      larq-bcd import official.pth.tar --model BCDNetA -o bcdnet_a.keras
      larq-bcd import step1.safetensors --model ReActNetA --real-kernels -o step1.keras
    """
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="file of torch.save or of safetensors")
    add(
        "--model",
        required=True,
        help="network: BCDNetA or B, ReActNetA or 18, BiRealNet18 or 34, or BNextT",
    )
    parser.add_output(
        "-o",
        "--output",
        metavar="FILE.keras",
        required=True,
        suffixes=(".keras",),
        help="file to be written",
    )
    add(
        "--real-kernels",
        action="store_true",
        help="for a checkpoint of the first training step, whose kernels are real",
    )
    add("--num-classes", type=whole_number(1), default=1000, help="classes (1000)")


@_command("larq-bcd study", "variants of a recipe, compared over several seeds")
def _study(parser: Parser) -> None:
    """Trains the variants of a study with every seed, and compares them.

    One training after the other, each in a process of its own. A study that was stopped or
    killed goes on with the same command. It writes a table, a picture and a page: means over
    the seeds with their 95 % intervals, and differences that are paired by seed.

    examples:
      larq-bcd study models/studies/claims_cifar10 --dry-run
      larq-bcd study models/studies/claims_cifar10 data.data_dir=~/tensorflow_datasets
      larq-bcd study my_study.yaml stages.*.epochs=2 --output runs/short

    exit status:
      0    done
      1    a training has failed; the others are done, and the same command tries it again
      2    the arguments or the files they name are at fault
      130  interrupted, 143 after SIGTERM; its state is kept, and the same command goes on
           from it
    """
    add = parser.add_argument
    add("study", metavar="STUDY", type=not_a_setting, help="study.yaml, or its folder")
    parser.add_settings("changes to the recipe of every variant, by dotted path")
    add(
        "--output",
        metavar="FOLDER",
        type=Path,
        help="folder of the study (by default runs/, and the name of the study's folder)",
    )
    add("--dry-run", action="store_true", help="list the trainings and what is left, and end")


@_command("larq-bcd models", "the networks by name")
def _models(parser: Parser) -> None:
    """Lists the networks that can be given by name.

    A trained one is given by the names of the network and of its weights: BCDNetB:cifar10.

    examples:
      larq-bcd models
      larq-bcd models --pretrained
    """
    parser.add_argument(
        "--pretrained",
        action="store_true",
        help="list the trained networks that come with the package, with what they were "
        "trained on, their accuracy on the images of a split, and their cost",
    )


@_command("larq-bcd summary", "what a network costs")
def _summary(parser: Parser) -> None:
    """Prints what a network costs, layer by layer and in total.

    examples:
      larq-bcd summary BCDNetB
      larq-bcd summary trained.keras --format json
    """
    parser.add_argument("model", metavar="MODEL", help=_MODEL)
    parser.add_argument(
        "--format", choices=_choices.SUMMARY_FORMATS, default="table", help="by default table"
    )
    _add_loading(parser)


@_command("larq-bcd explain", "what a network makes of an image")
def _explain(parser: Parser) -> None:
    """Draws what a network makes of an image, as PNG, beside another network if given.

    The effective receptive field of the central unit of a layer; Grad-CAM for the class that
    the network chooses; and the thresholds that DySign or a contextual embedding chooses for
    the image against the static ones.

    With --binarization-error it draws instead, for each binary product in the order of the
    network, by how much what it computes of signs differs from the product of the real values:
    0 is the same up to a factor, 1 nothing in common. The branches of a binary MLP have colors
    of their own.

    examples:
      larq-bcd explain trained.keras photo.jpg -o seen.png
      larq-bcd explain reactnet.keras photo.jpg --compare bcdnet.keras -o both.png
      larq-bcd explain runs/birds/model.keras wren.jpg -o wren.png --labels birds.txt
      larq-bcd explain a.keras photos --binarization-error -o a.png --numbers a.csv
    """
    add = parser.add_argument
    add("model", metavar="MODEL", help=_MODEL)
    add(
        "image",
        metavar="IMAGE",
        type=Path,
        help="an image file, or with --binarization-error a folder of them",
    )
    parser.add_output(
        "-o",
        "--output",
        metavar="FILE.png",
        required=True,
        suffixes=(".png",),
        help="the picture",
    )
    add("--binarization-error", action="store_true", help="draw what the signs lose instead")
    parser.add_output(
        "--numbers",
        metavar="FILE",
        suffixes=(".csv", ".json"),
        help="the numbers that --binarization-error draws",
    )
    add("--compare", metavar="MODEL", help="a second network, drawn below the first")
    add("--layer", metavar="NAME", help="layer to look at, by default the last before pooling")
    _add_labels(parser, "by default those saved in the model, or their numbers")
    _add_preprocessing(parser)
    _add_loading(parser)


@_command("larq-bcd show", "what a .tflite file is made of")
def _show(parser: Parser) -> None:
    """Prints what a .tflite file is made of and says about itself.

    examples:
      larq-bcd show trained.tflite
    """
    parser.add_argument("file", metavar="FILE.tflite", type=Path, help="the file")


@_command("lce_convert", "a Keras model to a checked .tflite file")
def _lce_convert(parser: Parser) -> None:
    """Converts a Keras model with Larq Compute Engine, and writes what has passed the check.

    It reports what became binary, and checks the result against Keras.

    examples:
      lce_convert trained.keras -o trained.tflite
      lce_convert trained.h5 -o trained.tflite --check-inputs photos --report trained.json
      lce_convert siamese.keras -o siamese.tflite --check-inputs pairs.npz
      lce_convert open.keras -o open.tflite --input-shape 1,224,224,3
      lce_convert trained.keras -o cam.tflite --input-type uint8 --head int8 --labels names.txt
      lce_convert trained.keras -o pi5.tflite --stem int8 --head int8 --calibrate photos \\
          --input-type uint8
      lce_convert quantized.keras -o int8.tflite --input-type int8 --output-type int8
      lce_convert trained.keras -o latency.tflite --default-int8-range -3 3
      lce_convert mlp.keras -o mlp.tflite --dense-as-convolution
      lce_convert BCDNetB -o latency.tflite --force
      lce_convert BCDNetB:cifar10 -o cifar10.tflite
      lce_convert mine.h5 -o mine.tflite --import my_layers
      lce_convert larq_zoo.sota.QuickNet -o quicknet.tflite

    exit status:
      0    the file is written
      1    a layer that trains as binary would ship as float, or the flatbuffer does not compute
           what the model computes; nothing is written
      2    the model or the arguments are at fault; nothing is written
      130  interrupted; nothing is written
    """
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help=f"{_MODEL}; weights of a name without any are random",
    )
    parser.add_output(
        "-o", "--output", metavar="FILE.tflite", required=True, help="file to be written"
    )
    parser.add_output(
        "--report",
        metavar="FILE",
        help="write the report there too: a page for FILE.html, with the time of each "
        "operator, else JSON",
    )
    add(
        "--allow-float-fallback",
        action="store_true",
        help="write the file even if a layer that trains as binary ships as float",
    )
    add(
        "--head",
        choices=_choices.HEADS,
        default="float32",
        help="type of the weights of the dense layers before the outputs, by default "
        "%(default)s; what the others round is reported",
    )
    add(
        "--stem",
        choices=_choices.STEMS,
        default="float32",
        help="type in which the first convolutions of an image compute, by default "
        "%(default)s; int8 needs --calibrate, and what it rounds is reported. It pays on cores "
        "with dot products of bytes, such as the A76 of a Raspberry Pi 5; on those without, "
        "such as the A72 of a Raspberry Pi 4, a large stem is slower than in float32",
    )
    add(
        "--calibrate",
        metavar="PATH",
        type=Path,
        help="take the ranges of a stem of int8 from the images in this folder, "
        f"{_choices.CALIBRATION_INPUTS} of them evenly spread, or from arrays, as "
        "--check-inputs does",
    )
    add(
        "--ops",
        choices=_choices.OPS,
        default="lce",
        help="builtin writes a file without custom operators, for where none can be loaded: "
        "larger and slower",
    )
    add(
        "--input-type",
        choices=_choices.INPUT_TYPES,
        default="float32",
        help="uint8 takes pixels of 0 to 255, int8 those less 128: the file normalizes them "
        "as the model's are; by default it takes normalized float32. Where nothing says how, "
        "int8 is what the model's own fake quantization makes of its input",
    )
    add(
        "--output-type",
        choices=_choices.OUTPUT_TYPES,
        default="float32",
        help="int8 gives what the model's fake quantization makes of its outputs, with their "
        "scales; by default %(default)s",
    )
    add(
        "--default-int8-range",
        metavar="MIN,MAX",
        type=FLOATS,
        help="quantize to int8 by this range what has no fake quantization: for measuring "
        "latency only; what it changes is reported",
    )
    add(
        "--input-shape",
        metavar="[NAME=]SHAPE",
        type=named_shape,
        action="append",
        default=[],
        help="the shape of an input that the model leaves open, such as 1,224,224,3, or "
        "image=1,224,224,3 where there are several; again for another input",
    )
    add(
        "--dense-as-convolution",
        action="store_true",
        help="let dense layers of binary kernels and inputs ship as binary 1x1 convolutions, "
        "which compute the same; else they ship as float",
    )
    _add_labels(parser, "for the file's metadata; by default those saved in the model")
    add(
        "--recipe",
        metavar="FILE",
        type=Path,
        help="what the model was trained with, whose SHA-256 the metadata keep",
    )
    add(
        "--passes",
        metavar="NAMES",
        type=SomeOf(_choices.PASSES),
        default="all",
        help=f"passes over the file: all, none, or some of {','.join(_choices.PASSES)}",
    )
    add(
        "--check-inputs",
        metavar="PATH",
        type=Path,
        help="check on the images in this folder, prepared as the model's are, or on arrays as "
        "the model takes them, an .npy file or, by the names of the inputs, an .npz file; by "
        "default on noise",
    )
    add(
        "--check-count",
        metavar="N",
        type=whole_number(1),
        default=_choices.CHECK_INPUTS,
        help="check on N inputs, by default %(default)s",
    )
    _add_preprocessing(parser)
    add(
        "--check-tolerance",
        metavar="FACTOR",
        type=positive_number,
        default=1.0,
        help="multiply what rounding is taken to explain, for whoever knows that a difference "
        "is right; the metadata keep the factor",
    )
    add(
        "--no-check",
        action="store_const",
        dest="check_tolerance",
        const=None,
        help="write a file that nobody has compared with Keras; the metadata say so",
    )
    _add_loading(parser)


def _add_loading(parser: Parser) -> None:
    parser.add_argument(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this module first, whose layers, quantizers and functions the model uses",
    )
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="let the model's file name any function and class, and run Python code that it "
        "carries, such as Lambda layers",
    )
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="do not fetch the published weights of a network of Larq Zoo",
    )


def _add_labels(parser: Parser, purpose: str) -> None:
    parser.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        help=f"names of the classes, one in each line, {purpose}",
    )


def _add_preprocessing(parser: Parser) -> None:
    parser.add_argument(
        "--mean",
        type=FLOATS,
        metavar="M[,M...]",
        help="mean of the pixels, in [0, 1], that the model's preprocessing subtracts; by "
        "default what is saved in the model or written in the file",
    )
    parser.add_argument(
        "--std",
        type=FLOATS,
        metavar="S[,S...]",
        help="standard deviation that it divides by; likewise",
    )
    parser.add_argument(
        "--resize",
        type=int,
        metavar="SIDE",
        help="shorter side of an image before the center is cut out, 256 for 224 in the "
        "papers, or 0 for the whole image; likewise, and the whole image if that says nothing",
    )


LCE_CONVERT = COMMANDS.pop("lce_convert")
