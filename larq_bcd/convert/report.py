"""What was converted, in data, in words and in JSON."""

import dataclasses
from dataclasses import dataclass, field

import rich.box
import rich.console
import rich.table
import rich.text

from larq_bcd._files import as_json
from larq_bcd._shown import table
from larq_bcd.convert.check import CheckReport
from larq_bcd.convert.compare import Comparison
from larq_bcd.convert.passes import PassReport, activation_bytes
from larq_bcd.tflite.graph import Graph
from larq_bcd.tflite.operators import QUANTIZE

NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class TensorReport:
    """An input or output: its shape has a batch of 1, its dtype is TFLite's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class LayerReport:
    """A convolution or dense layer.

    Attributes:
        name: the Keras layer's name, with those of the layers around it.
        type: the Keras layer's class.
        ships_as: `"binary"` or `"float"`.
        operator: the operator of the flatbuffer; None if none holds its weights.
        trains_as_binary: whether its kernel is binary in training, and it is not a first layer
            of real input.
        reason: why it ships as float although it trains as binary, and another model would
            not; else None.
        note: anything else worth knowing.
    """

    name: str
    type: str
    ships_as: str
    operator: str | None
    trains_as_binary: bool
    reason: str | None = None
    note: str | None = None

    @property
    def is_fallback(self) -> bool:
        """Whether it trains as binary and ships as float for a reason that can be mended."""
        return self.reason is not None


@dataclass
class OptimizationReport:
    """What the passes over the file have done.

    Attributes:
        operators_before, operators_after: the number of operators.
        bytes_before, bytes_after: the size of the file.
        activation_bytes_before, activation_bytes_after: what all operators but LceBconv2d
            read and write of activations, from the shapes.
        signs: the number of LceQuantize in the result.
        passes: one report for each pass, in order.
    """

    operators_before: int
    bytes_before: int
    activation_bytes_before: int
    operators_after: int = 0
    bytes_after: int = 0
    activation_bytes_after: int = 0
    signs: int = 0
    passes: list[PassReport] = field(default_factory=list)

    @classmethod
    def of_plain(cls, graph: Graph, content: bytes) -> "OptimizationReport":
        """A report that knows the file before any pass."""
        return cls(len(graph.nodes), len(content), activation_bytes(graph))

    def conclude(self, graph: Graph, content: bytes) -> None:
        """Takes note of the file after all passes."""
        self.operators_after = len(graph.nodes)
        self.bytes_after = len(content)
        self.activation_bytes_after = activation_bytes(graph)
        self.signs = len(graph.nodes_of(QUANTIZE))

    @property
    def skipped(self) -> list[str]:
        """What the passes had to leave, in words."""
        return [text for done in self.passes for text in done.skipped]


@dataclass(repr=False)
class ConversionReport:
    """What the conversion of a model has given.

    Attributes:
        model: what was converted.
        inputs, outputs: of the flatbuffer.
        file_bytes: the size of the flatbuffer.
        float32_bytes: 4 bytes for each parameter of the Keras model that ships.
        layers: every convolution and dense layer, in the order of execution.
        optimization: what the passes over the file have done.
        changes: what was changed before or after the conversion, in words.
        notes: what the user should know before using the file.
        check: the comparison with Keras; None until it has run.
        is_check_waived: whether the user wants none.
        replacement: how the file without custom operators compares with the one with them;
            None where they stay.
        rounding: what rounding the stem, or the weights of the head, has changed; None if both
            are float32.
        seconds: the time each step took.
    """

    model: str
    inputs: list[TensorReport]
    outputs: list[TensorReport]
    file_bytes: int
    float32_bytes: int
    layers: list[LayerReport]
    optimization: OptimizationReport
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    check: CheckReport | None = None
    is_check_waived: bool = False
    rounding: Comparison | None = None
    replacement: Comparison | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def fallbacks(self) -> list[LayerReport]:
        """The layers that train as binary and ship as float."""
        return [layer for layer in self.layers if layer.is_fallback]

    def facts(self) -> dict[str, str]:
        """The figures that one looks at first, in words."""
        binary = sum(layer.ships_as == "binary" for layer in self.layers)
        done = self.optimization
        facts = {
            "file": size_in_words(self.file_bytes),
            "parameters in float32": size_in_words(self.float32_bytes),
            "operators": f"{done.operators_before} to {done.operators_after}",
            "layers": f"{binary} binary, {len(self.layers) - binary} float",
        }
        verdict = NOT_CHECKED if self.check is None else self.check.verdict
        return {**facts, "check": verdict}

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self.facts().items())
        return f"<{type(self).__name__} of {self.model}: {facts}>"

    def _repr_html_(self) -> str:
        layers = [
            (x.name, x.type, x.ships_as, x.operator or "-", x.reason or x.note or "")
            for x in self.layers
        ]
        titles = ("layer", "type", "ships as", "operator", "why")
        return table(list(self.facts().items())) + table(layers, titles)

    def to_json(self) -> str:
        """The report as an indented JSON object, with what follows from its fields."""
        data = dataclasses.asdict(self)
        data["binary_layers"] = sum(layer.ships_as == "binary" for layer in self.layers)
        data["float_fallbacks"] = [layer.name for layer in self.fallbacks]
        if self.check is not None:
            data["check"]["verdict"] = self.check.verdict
            data["check"]["flips"] = self.check.flips
            data["check"]["signs_compared"] = self.check.compared
        return as_json(data)


def size_in_words(count: int) -> str:
    """A number of bytes in the unit that suits it."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _tensors(tensors: list[TensorReport]) -> str:
    return ", ".join(f"{t.name} {list(t.shape)} {t.dtype}" for t in tensors)


def print_report(report: ConversionReport, console: rich.console.Console) -> None:
    """Writes a report for people."""

    def line(text: str) -> None:
        console.print(rich.text.Text(text), soft_wrap=True)

    line("")
    line(f"model    {report.model}")
    line(f"inputs   {_tensors(report.inputs)}")
    line(f"outputs  {_tensors(report.outputs)}")
    ratio = report.float32_bytes / report.file_bytes
    line(
        f"size     {size_in_words(report.file_bytes)}, {ratio:.1f} times smaller than the "
        f"{size_in_words(report.float32_bytes)} of its parameters in float32"
        if ratio >= 1
        else f"size     {size_in_words(report.file_bytes)}; its parameters in float32 are "
        f"{size_in_words(report.float32_bytes)}"
    )
    for text in _describe_optimization(report.optimization):
        line(f"passes   {text}")
    for text in (*report.changes, *report.notes):
        line(f"note     {text}")
    binary = sum(layer.ships_as == "binary" for layer in report.layers)
    line(f"layers   {binary} binary, {len(report.layers) - binary} float")
    table = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
    for title in ("layer", "type", "ships as", "operator"):
        table.add_column(title, overflow="fold")
    for layer in report.layers:
        style = "red" if layer.is_fallback else ""
        cells = (layer.name, layer.type, layer.ships_as, layer.operator or "-")
        table.add_row(*(rich.text.Text(cell) for cell in cells), style=style)
    console.print(table)
    for layer in report.layers:
        if layer.reason:
            line(f"float    {layer.name} trains as binary: {layer.reason}")
    for note in dict.fromkeys(layer.note for layer in report.layers if layer.note):
        names = [layer.name for layer in report.layers if layer.note == note]
        line(f"note     {', '.join(names)}: {note}")
    if report.check is not None:
        for text in describe_check(report.check):
            line(f"check    {text}")
    elif report.is_check_waived:
        line(f"check    {NOT_CHECKED}: whether it computes what the model does is not known")
    if report.rounding is not None:
        line(f"rounding {_in_words(report.rounding)}")
    if report.replacement is not None:
        found = report.replacement
        line(f"builtin  {_in_words(found)}")
        line(
            f"builtin  {size_in_words(found.bytes[0])} became {size_in_words(found.bytes[1])}; "
            f"{found.milliseconds[0]:.2f} ms by {found.timed_on[0]} became "
            f"{found.milliseconds[1]:.2f} ms by {found.timed_on[1]}, on one thread of this "
            "machine"
        )


def _in_words(found: Comparison) -> str:
    return f"{found.change}: {found.in_words(' from the file before')}"


def _describe_optimization(done: OptimizationReport) -> list[str]:
    """What the passes have done in sentences, for people."""
    if not done.passes:
        return [f"none; {done.operators_after} operators"]
    saved = 1 - done.activation_bytes_after / max(1, done.activation_bytes_before)
    lines = [
        f"{done.operators_before} operators became {done.operators_after}, with {done.signs} "
        f"signs; {size_in_words(done.bytes_before)} became "
        f"{size_in_words(done.bytes_after)}; between the convolutions {saved:.0%} fewer bytes "
        "of activations are read and written",
        ", ".join(f"{one.name} {one.changes}" for one in done.passes if one.changes)
        or "nothing to do",
    ]
    if done.skipped:
        lines.append(f"skipped {len(done.skipped)}, first {done.skipped[0]}")
    return lines


def describe_check(check: CheckReport) -> list[str]:
    """The result of a check in sentences, for people."""
    lines = [
        f"{check.inputs} inputs ({check.source}): {check.in_words()}",
        f"executed by {check.runs_on}",
    ]
    if check.tolerance_factor != 1:
        lines.append(f"tolerances are multiplied by {check.tolerance_factor:g}, as was asked")
    if check.compared:
        flipped = [layer for layer in check.layers if layer.flips]
        text = f"{check.compared:,} signs compared before {len(check.layers)} layers: "
        if not flipped:
            text += "all that rounding allows, none flipped"
        else:
            largest = max(layer.largest_flip for layer in flipped)
            text += (
                f"{check.flips} flipped at a threshold (the value there is 0 to rounding, at "
                f"most {largest:.2g}), first at {flipped[0].name}"
            )
        lines.append(text)
        lines.append(
            "on the same signs the outputs differ by at most "
            f"{check.max_difference_on_same_signs:.3g}"
        )
        if check.difference_from_itself is not None:
            lines.append(
                "the rest comes of the flips alone; Keras, with its input and weights rounded "
                "otherwise three times, differs from itself by up to "
                f"{check.difference_from_itself:.3g}"
            )
    if check.unseen:
        lines.append(f"could not look into {', '.join(check.unseen)}")
    lines += [f"FAULT: {fault}" for fault in check.faults]
    verdicts = {
        "equal": "the flatbuffer computes what the model computes, to rounding",
        "equal but for flips": "the flatbuffer computes what the model computes, to rounding; "
        "signs on their threshold may fall either way",
        "fault": "the flatbuffer does not compute what the model computes",
    }
    return [*lines, verdicts[check.verdict]]
