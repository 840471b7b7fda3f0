"""The thousand classes of ImageNet's challenge, in the order of their WordNet numbers."""

from importlib import resources

# The first of the synonyms that WordNet has for each; the second where another class has it.
_NAMES = resources.files(__package__).joinpath("imagenet_classes.txt")


def class_names() -> tuple[str, ...]:
    """Returns the names of the classes, in the order of a network's outputs."""
    return tuple(_NAMES.read_text("utf-8").splitlines())
