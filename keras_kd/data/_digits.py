"""The digits that come with the package: no download, numpy only."""

from importlib import resources

import numpy as np

from keras_kd._examples._part import Part
from keras_kd.data._dataset import Dataset, Info

#: The first example of the test part. Every form filled in has the same digits in the same order
#: (0 to 9 three times, then 0 9 5 5 6 5 ...), so the labels show where one ends and the next
#: begins; this is such a place, and no form is in both parts.
FIRST_TEST = 1157


def digits() -> Dataset:
    """The 1,797 handwritten digits of `keras_kd.data.load("digits")`."""
    with (
        resources.files("keras_kd.data").joinpath("digits.npz").open("rb") as file,
        np.load(file) as arrays,
    ):
        x = arrays["images"][..., np.newaxis].astype("float32") / 16.0
        y = arrays["labels"].astype("int32")
    ids = np.array([f"digits/{position:05d}" for position in range(len(y))])
    whole = Part(x, y, ids)
    positions = np.arange(len(y))
    parts = {
        "train": whole.take(positions[:FIRST_TEST]),
        "test": whole.take(positions[FIRST_TEST:]),
    }
    info = Info(
        name="digits",
        classes=10,
        class_names=tuple("0123456789"),
        shape=x.shape[1:],
        counts={name: len(part) for name, part in parts.items()},
        source="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine "
        "Learning Repository, 1998, doi 10.24432/C50P49 (the part by 13 writers)",
        licence="CC BY 4.0",
    )
    return Dataset(info, parts)
