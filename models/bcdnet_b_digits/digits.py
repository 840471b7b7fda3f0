"""Writes the handwritten digits of scikit-learn as images, a folder for each class.

python models/bcdnet_b_digits/digits.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import PIL.Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def main(folder: Path) -> None:
    """Writes `folder/SPLIT/CLASS/INDEX.png` of 8x8 gray pixels; a fifth is the split `test`.

    Args:
        folder: where they are written to; what is there already is written again.
    """
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    train, test = train_test_split(
        range(len(pixels)), test_size=0.2, stratify=digits.target, random_state=0
    )
    for split, indices in (("train", train), ("test", test)):
        for index in indices:
            path = folder / split / str(digits.target[index]) / f"{index:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels[index]).save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
