"""`load`: a data set by its name."""

import os

from keras_kd.data._dataset import Amount, Dataset
from keras_kd.data._digits import digits


def load(
    name: str,
    *,
    feature: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    validation: Amount = None,
    test: Amount = None,
    download: bool = True,
) -> Dataset:
    """A classification set of images or texts, by name, with an id for every example.

    `"digits"` comes with the package: it needs neither a network nor tensorflow. Every other name
    is one of TensorFlow Datasets, such as `"mnist"`, `"cifar10"` or `"imdb_reviews"`; it is read
    from where it was prepared, or downloaded once. The whole set is held in memory. (Keras on
    another backend keeps its accelerator: tensorflow, which reads the records, is kept off it.)

    Images are float32 of shape `(examples, height, width, channels)`, divided by the largest value
    their type can hold (16 for `"digits"`). Texts are Python strings, `(examples,)`;
    `keras_kd.data.Text` makes numbers of them. Labels are int32. The examples keep the order of
    the source.

    `"digits"` has 1,797 images of 8x8 and no split of its own. Here the first 1,157 are for
    training (114 to 118 of each class) and the other 640 for the test (60 to 65 of each). The cut
    lies between two of the forms that the writers filled in, so no form is in both. (Who wrote
    which form is not recorded: there are 14 forms and 13 writers.)

    Other sets keep their own splits. Where the test labels are withheld, or there is no test part,
    the set's validation part is the test.

    Args:
        name: `"digits"`, or a name of TensorFlow Datasets, which may have a config and a version:
            `"mnist:3.0.1"`.
        feature: Which one to classify, where an example has several texts or images, such as
            `"description"` of `"ag_news_subset"`. Defaults to `None`: the only one.
        data_dir: Where TensorFlow Datasets keeps its sets. Defaults to its own choice: the
            environment variable `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        validation: How much to hold out of the training examples, a fraction or a number. Which
            ones depends on their ids alone. Defaults to `None`: the set's own validation part,
            when it has one beside its test.
        test: The same, for a set that has no test part of its own. Defaults to `None`.
        download: Whether a set that is not there may be downloaded. Defaults to `True`.

    Returns:
        A `keras_kd.data.Dataset`.

    Raises:
        ValueError: If there is no such set, it is not one for the classification of images or
            texts, its images differ in size, or it has no test part and `test` is `None`.
        keras_kd.data.NotAvailable: If the set exists but is not here and cannot be downloaded.

    Example:

    >>> data = keras_kd.data.load("digits", validation=0.1)
    >>> dict(data.info.counts)
    {'train': 1041, 'test': 640, 'validation': 116}
    >>> float(data.x_train.min()), float(data.x_train.max())
    (0.0, 1.0)

    Reference:
        E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
        Learning Repository, 1998, doi 10.24432/C50P49, licence CC BY 4.0. `"digits"` is the part
        written by 13 of its 43 writers, in the original order, unchanged but for the division.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"`name` must be the name of a data set, such as 'digits'. Received: {name!r}."
        )
    if name == "digits" and feature is not None:
        raise ValueError(f"'digits' has images only. Received: feature={feature!r}.")
    if name == "digits":
        data = digits()
    else:
        from keras_kd.data._tfds import read  # needs tensorflow-datasets

        data = read(name, data_dir=data_dir, feature=feature, download=download)
    for part, amount in (("test", test), ("validation", validation)):
        if amount is not None:
            if part in data:
                raise ValueError(
                    f"'{name}' has a {part} part of its own ({data.info.counts[part]} examples). "
                    f"Leave `{part}` out. Received: {part}={amount!r}."
                )
            data = data.holding_out(part, amount)
        elif part == "test" and part not in data:
            raise ValueError(
                f"'{name}' has no test part. Hold some of its {data.info.counts['train']} "
                f"examples out: load('{name}', test=0.2)."
            )
    return data
