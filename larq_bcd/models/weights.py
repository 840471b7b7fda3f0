"""Moving weights between networks, and between training and inference."""

import tensorflow as tf

from larq_bcd.layers import DynamicThresholdQuantConv2D, QuantShiftMLP, SpatialShift

_SHOWN = 5  # of what does not fit


def copy_weights(source: tf.keras.Model, target: tf.keras.Model) -> None:
    """Copies the weights of a network into one of the same parts, matched by layer name.

    Weights are paired by the part of a layer that has them, whatever is frozen.

    A convolution of static threshold may become one of dynamic threshold: it keeps its
    kernel and its threshold, and the contextual embedding stays as it is. A new BCDNet-B
    thus computes exactly the function of the BCDNet-A whose weights it gets.

    Args:
        source: the network that has the weights.
        target: the network that gets them; unchanged if an error is raised.

    Raises:
        ValueError: if layers are missing in the source, of other shapes, or shift by another
            distance; it lists the first of them.
    """
    found = {layer.name: layer for layer in source.layers}
    assignments, missing, problems = [], [], []
    for layer in target.layers:
        pairs = _matching_variables(layer, found)
        if pairs is None:
            missing.append(f"{layer.name} is missing in the source")
            continue
        for variable, value in pairs:
            if variable.shape != value.shape:
                problems.append(
                    f"{variable.name} has shape {tuple(variable.shape)}, "
                    f"but {tuple(value.shape)} in the source"
                )
        if isinstance(layer, QuantShiftMLP):
            problems += _other_ranges(layer, found[layer.name])
        assignments += pairs
    problems = missing + problems
    if problems:
        more = len(problems) - _SHOWN
        raise ValueError(
            f"the weights of {source.name!r} do not fit {target.name!r}: "
            f"{'; '.join(problems[:_SHOWN])}{f'; and {more} more' if more > 0 else ''}. "
            "Build both with the same arguments."
        )
    for variable, value in assignments:
        variable.assign(value)


def copy_between_builds(source: tf.keras.Model, target: tf.keras.Model) -> None:
    """Copies all weights between two models of one configuration, in the target's types.

    Unlike `get_weights` and `set_weights` it heeds what is frozen in one of them and not in the
    other, which a configuration does not tell of the parts of a layer.
    """
    for layer in target.layers:
        if not layer.weights:  # such as an input, which a Sequential model does not list
            continue
        pairs = zip(_by_part(layer), _by_part(source.get_layer(layer.name)), strict=True)
        for ours, theirs in pairs:
            ours.assign(tf.cast(theirs, ours.dtype))


def _matching_variables(layer, found: dict) -> list[tuple] | None:
    """Pairs of a layer's variables and the source's, or None if the source has no such."""
    if not layer.weights:
        return []
    match = found.get(layer.name)
    if match is None:
        return None
    becomes_dynamic = isinstance(layer, DynamicThresholdQuantConv2D) and not isinstance(
        match, DynamicThresholdQuantConv2D
    )
    if becomes_dynamic:
        threshold = found.get(layer.name.removesuffix("_conv") + "_threshold")
        if threshold is None:
            return None
        pairs = [(layer.kernel, match.kernel), (layer.threshold, threshold.bias)]
        return pairs + ([(layer.bias, match.bias)] if layer.use_bias else [])
    ours, theirs = _by_part(layer), _by_part(match)
    return list(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else None


def _by_part(layer) -> list[tf.Variable]:
    """The weights of a layer, part by part; `layer.weights` has the frozen ones last."""
    parts = (*reversed(layer.submodules), layer)
    weights = (weight for part in parts for weight in getattr(part, "weights", ()))
    return list({id(weight): weight for weight in weights}.values())


def _other_ranges(layer: QuantShiftMLP, source: QuantShiftMLP) -> list[str]:
    """The ranges that are not those of the source on the feature map of the layer."""
    sides = layer.input_shape[1:3]
    return [
        f"{layer.name} has {name}={ours.shift!r}, which on its feature map of "
        f"{sides[0]}x{sides[1]} is not the {theirs.shift!r} of the source"
        for name, ours, theirs in (
            ("short_range", layer.short_shift, source.short_shift),
            ("long_range", layer.long_shift, source.long_shift),
        )
        if _distances(ours, sides) != _distances(theirs, sides)
    ]


def _distances(shift: SpatialShift, sides: tuple[int | None, ...]) -> list:
    """Pixels by which a feature map is shifted; `"half"` of a side that is open."""
    is_half = shift.shift == "half"
    return [side // 2 if is_half and side is not None else shift.shift for side in sides]


def with_training_heads(model: tf.keras.Model) -> tf.keras.Model:
    """Returns a view of a network whose outputs are those of its two heads.

    Args:
        model: a network of two averaged heads, such as `BCDNetA()`.

    Returns:
        A model that shares every layer with the given one and returns the logits
        `[fc, fc_dist]`, each `(batch, num_classes)`: the first to be trained on the labels,
        the second on the logits of a teacher.

    Raises:
        ValueError: if the network has no two heads.
    """
    names = [layer.name for layer in model.layers]
    if not {"fc", "fc_dist"} <= set(names):
        raise ValueError(
            f"{model.name!r} has no heads 'fc' and 'fc_dist' to train: pass a network such as "
            "BCDNetA(include_top=True)."
        )
    outputs = [model.get_layer(name).output for name in ("fc", "fc_dist")]
    return tf.keras.Model(model.inputs, outputs, name=f"{model.name}_heads")
