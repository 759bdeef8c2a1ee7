"""Plain networks: convolutions in a row, dense layers in a row, convolutions over words."""

from collections.abc import Sequence

import keras

from keras_kd._core.scalars import count
from keras_kd.students._shapes import Shape, image, layer_sizes, sizes

layers = keras.layers


def cnn(shape: Shape, classes: int, *, widths: Sequence[int] = (8, 16, 32)) -> keras.Model:
    """Convolutions in a row, for small images.

    One 3x3 convolution, batch normalization and ReLU for each of `widths`, with a pooling by two
    between them while sides are longer than 4; then the mean over the map, and a dense layer.

    Args:
        shape: `(height, width, channels)` of an image.
        classes: Number of classes, and of logits.
        widths: Channels of each convolution. Defaults to `(8, 16, 32)`.

    Returns:
        A Functional model that gives logits. `"relu1"`, `"relu2"`, ... are its feature maps.

    Raises:
        ValueError: If `shape` is no image's, `classes` no count or `widths` no row of them.

    Example:

    >>> keras_kd.students.cnn((28, 28, 1), 10).count_params()
    6386
    """
    shape, classes = image(shape), count(classes, "classes")
    widths = layer_sizes(widths, "widths")
    x = inputs = keras.Input(shape, name="image")
    for number, width in enumerate(widths, start=1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if number < len(widths) and min(x.shape[1:3]) > 4:
            x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="cnn")


def mlp(shape: Shape, classes: int, *, units: Sequence[int] = (64,)) -> keras.Model:
    """Dense layers with ReLU, for rows of a table; images are laid flat.

    Columns should be numbers of like size: standardized, or categories as 0 and 1. With
    `classes=1` the one output is a log-odds, or a number to regress.

    Args:
        shape: `(columns,)` of a table, or the shape of an image.
        classes: Number of classes, and of logits.
        units: Units of each hidden layer. Defaults to `(64,)`.

    Returns:
        A Functional model that gives logits. Its hidden layers are `"hidden1"`, `"hidden2"`, ...;
        `"hidden"` if there is one.

    Raises:
        ValueError: If `shape` has no or unknown sizes, `classes` is no count or `units` no row of
            them.

    Example:

    >>> keras_kd.students.mlp((14,), 2, units=(64, 32)).count_params()
    3106
    """
    rank = len(shape) if isinstance(shape, (tuple, list)) else 0
    axes = {3: ("height", "width", "channels"), 2: ("rows", "columns")}.get(rank, ("columns",))
    shape, classes = sizes(shape, axes), count(classes, "classes")
    units = layer_sizes(units, "units")
    x = inputs = keras.Input(shape, name="image" if rank == 3 else "columns")
    if rank > 1:
        x = layers.Flatten(name="flat")(x)
    for number, width in enumerate(units, start=1):
        name = "hidden" if len(units) == 1 else f"hidden{number}"
        x = layers.Dense(width, activation="relu", name=name)(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="mlp")


def text_cnn(
    shape: Shape, classes: int, *, vocabulary: int, width: int = 32, filters: int = 32
) -> keras.Model:
    """Convolutions over three, four and five words, for texts.

    Each word becomes `width` numbers; filters look at three, four and five words in a row, and
    the strongest answer of each filter over the whole text goes into a dense layer. Nearly all
    weights are those of the words, `vocabulary * width`. It has no recurrence, so it becomes an
    int8 file as it is, of a text of one length. The paper's dropout is left out: what a student
    is taught is the teacher's answer.

    Args:
        shape: `(length,)`, the number of tokens in a text.
        classes: Number of classes, and of logits.
        vocabulary: Number of tokens there are; ids are `0` to `vocabulary - 1`.
        width: Numbers for each token. Defaults to `32`; the paper has 300.
        filters: Filters of each of the three sizes. Defaults to `32`; the paper has 100.

    Returns:
        A Functional model of `int32` tokens that gives logits.

    Raises:
        ValueError: If `shape` is no text's, or another argument no count.

    Example:

    >>> keras_kd.students.text_cnn((80,), 4, vocabulary=1000).count_params()
    44772

    Reference: Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014,
    arXiv:1408.5882, section 2.
    """
    shape, classes = sizes(shape, ("length",)), count(classes, "classes")
    vocabulary, width = count(vocabulary, "vocabulary", least=2), count(width, "width")
    filters = count(filters, "filters")
    inputs = keras.Input(shape, dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary, width, name="words")(inputs)
    found = []
    for size in (3, 4, 5):
        conv = layers.Conv1D(
            filters, size, padding="same", activation="relu", name=f"of_{size}_words"
        )
        found.append(layers.GlobalMaxPooling1D(name=f"strongest_of_{size}")(conv(x)))
    x = layers.Concatenate(name="features")(found)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="text_cnn")
