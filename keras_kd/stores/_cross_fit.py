"""Cross-fitting: for each example the answer of a teacher that was not trained on it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.files import check_folder, named, remove_leftovers, replacing
from keras_kd._core.function_teacher import as_teacher
from keras_kd._core.scalars import count
from keras_kd._core.texts import predict
from keras_kd._examples._batches import batches_of
from keras_kd._examples._part import Part
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._from_answers import from_answers
from keras_kd.stores._lock import locked
from keras_kd.stores._logit_checks import check_ending, kinds_of
from keras_kd.stores._manifest import MANIFEST, Manifest, differences

#: What the folder of a store says of how it was cross-fitted.
CROSS_FIT = "cross_fit.json"


def cross_fit(
    build: Callable[[], Any],
    train: Callable[[Any, Part], Any],
    data: Part,
    path: str | os.PathLike[str],
    *,
    folds: int = 5,
    seed: int = 0,
    dtype: str = "float16",
    batch_size: int = 128,
    name: str = "cross_fit",
) -> Manifest:
    """Writes a store of out-of-fold answers: each from a teacher that did not see the example.

    A teacher that knows its training examples by heart answers them with their labels: nothing is
    left to learn from it. Here the examples are split into `folds` parts; for each part a new
    teacher is trained on the others and answers this one. The answers are one store, which
    `keras_kd.stores.read` reads like any other. Each fold's teacher has seen less than all
    examples, so that with clean labels it may also cost something: mix its answers with the labels
    (`alpha` below 1), or compare both.

    Labels of classes, numbers or one-hot rows, are spread over the folds evenly. Whatever ends it,
    call it again with the same arguments: folds that are done are not trained again. Before each fold
    `keras.utils.set_random_seed(seed + fold)` is called, so that the store is, byte for byte, that of
    a run that nothing ended, as far as `train` is deterministic. `build` and `train` themselves are not
    compared: after you changed them, write to another folder.

    Args:
        build: Makes a new teacher, untrained: a `keras.Model`, or whatever `train` takes.
        train: `train(teacher, part)` trains it on the `keras_kd.data.Part`. It may return the
            teacher that answers, a `keras.Model` or a teacher of `keras_kd.sources` (as in
            `return keras_kd.sources.SklearnTeacher(forest.fit(part.x, part.y))`); anything else
            that it returns is ignored, and `teacher` answers.
        data: The examples with their labels.
        path: The folder of the store. It is made when it is not there.
        folds: How many parts, 2 or more. Defaults to `5`.
        seed: Of the split and of each fold. Defaults to `0`.
        dtype: `"float16"` or `"float32"`, as of `keras_kd.stores.write`. Defaults to `"float16"`.
        batch_size: How many examples a teacher answers at once. Defaults to `128`.
        name: The teachers' name in the store. Defaults to `"cross_fit"`.

    Returns:
        The `Manifest` of the store.

    Raises:
        TypeError: If `data` is no `Part`, `build` or `train` cannot be called, or what they make is no
            teacher.
        ValueError: If there are no labels, or fewer examples than folds.
        StoreError: If the folder holds another store or another process is writing there; if a
            teacher ends in probabilities, gives what is not finite, or has another number of outputs
            than that of the fold before.

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.Part(np.eye(6, dtype="float32"), np.array([0, 0, 0, 1, 1, 1]), np.arange(6))
    >>> def build():
    ...     return keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, use_bias=False)])
    >>> def train(teacher, part):  # by heart: the label of each row that it sees, and of no other
    ...     teacher.set_weights([part.x.T @ np.eye(2)[part.y]])
    >>> folder = tempfile.mkdtemp()
    >>> keras_kd.stores.cross_fit(build, train, part, folder, folds=3).examples
    6
    >>> signals = keras_kd.stores.Store(folder)(part.ids, views=np.zeros(6, int))
    >>> float(np.abs(signals["teacher:output"]).max())
    0.0

    Reference: Wolpert, "Stacked Generalization", Neural Networks 5, 1992, section 2, for answers of
    models that did not see the example; Chernozhukov et al., "Double/debiased Machine Learning",
    Econometrics Journal 21, 2018, for the name.
    """
    _check(build, train, data, folds, seed)
    folder = named(path)
    check_folder(folder)
    settings = {
        "folds": int(folds), "seed": int(seed), "dtype": dtype, "name": name, "data": _digest(data),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".cross-fit.lock", f"The store '{folder}'"):
        _settle(folder, settings)
        with contextlib.suppress(StoreError, FileNotFoundError):  # raised while it is unfinished
            return _tidied(folder, folds, Manifest.read(folder))
        fold_of = folds_of(data.y, folds, seed)
        answers: np.ndarray | None = None
        for fold in range(folds):
            kind, found = _fold(folder, fold, fold_of, build, train, data, seed, batch_size)
            if answers is None:
                answers = np.zeros((len(data), *found.shape[1:]), "float32")
            if found.shape[1:] != answers.shape[1:]:
                raise StoreError(
                    f"The teacher of fold {fold + 1} gives {found.shape[1:]} numbers for an example, "
                    f"those before {answers.shape[1:]}. Does it know all classes? Give them in "
                    "`build` or `train`, such as SklearnTeacher(..., classes=range(10))."
                )
            answers[fold_of == fold] = found
        manifest = from_answers(
            answers, data.ids, folder, kind=kind, data=data, dtype=dtype, name=name
        )
        return _tidied(folder, folds, manifest)


def folds_of(y: Any, folds: int, seed: int) -> np.ndarray:
    """The fold of each example; classes are spread evenly, and folds differ by one example at most."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] > 1 and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    if labels.dtype.kind in "iubOSU" and labels.size == len(labels):
        order = order[np.argsort(labels.reshape(-1)[order], kind="stable")]
    fold_of = np.empty(len(labels), int)
    fold_of[order] = np.arange(len(labels)) % folds
    return fold_of


def _fold(
    folder: Path,
    fold: int,
    fold_of: np.ndarray,
    build: Callable[[], Any],
    train: Callable[[Any, Part], Any],
    data: Part,
    seed: int,
    batch_size: int,
) -> tuple[str, np.ndarray]:
    """What the answers of a fold are, and the answers; from its file where it was done before."""
    file = _file(folder, fold)
    if file.exists():
        with np.load(file) as there:
            return str(there["kind"]), there["answers"]
    keras.utils.set_random_seed(seed + fold)
    made = build()
    if isinstance(made, keras.Model) and made.built:
        check_ending(made, ("output",))  # before anything is trained
    returned = train(made, data.take(np.flatnonzero(fold_of != fold)))
    teacher = as_teacher(
        returned if isinstance(returned, (keras.Model, ExternalTeacher)) else made, "cross_fit"
    )
    check_ending(teacher, ("output",))
    rest = data.take(np.flatnonzero(fold_of == fold))
    found = _answers(teacher, rest, batch_size)
    if not np.isfinite(found).all():
        raise StoreError(
            f"The teacher of fold {fold + 1} gives NaN or infinity for examples that it was not "
            "trained on. Look at its training: nothing was stored."
        )
    kind = kinds_of(teacher, {"output": found})["output"]
    with replacing(file) as temporary:
        np.savez(temporary, kind=kind, answers=found)
    return kind, found


def _answers(teacher: Any, part: Part, batch_size: int) -> np.ndarray:
    if isinstance(teacher, keras.Model):
        return np.asarray(predict(teacher, part.x, batch_size=batch_size, verbose=0), "float32")
    batches = batches_of(part, batch_size)
    return np.concatenate([np.asarray(teacher(batch.x), "float32") for batch in batches])


def _tidied(folder: Path, folds: int, manifest: Manifest) -> Manifest:
    """Removes the answers of single folds, once the store holds them."""
    for fold in range(folds):
        _file(folder, fold).unlink(missing_ok=True)
    return manifest


def _file(folder: Path, fold: int) -> Path:
    return folder / f"fold-{fold:02d}.npz"


def _settle(folder: Path, settings: dict[str, Any]) -> None:
    """Puts the settings down, or proves that what was begun here has the same."""
    path = folder / CROSS_FIT
    if path.exists():
        begun = json.loads(path.read_text(encoding="utf-8"))
        if differing := differences(settings, begun):
            raise StoreError(
                f"'{folder}' holds a store that was cross-fitted otherwise: "
                f"{'; '.join(differing[:3])}. Write to another folder, or remove this one."
            )
    elif (folder / MANIFEST).exists():
        raise StoreError(
            f"'{folder}' holds a store that was not cross-fitted. Write to another folder."
        )
    else:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    for left in (path, *(_file(folder, fold) for fold in range(settings["folds"]))):
        remove_leftovers(left)


def _digest(data: Part) -> str:
    """A hash of ids, labels and inputs."""
    digest = hashlib.sha256()
    for leaf in (*keras.tree.flatten(data.x), data.y, data.ids):
        array = np.ascontiguousarray(leaf)
        array = array.astype(str) if array.dtype.kind == "O" else array
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def _check(build: Any, train: Any, data: Any, folds: Any, seed: Any) -> None:
    for argument, given, example in (
        ("build", build, "lambda: keras.models.clone_model(teacher)"),
        ("train", train, "lambda teacher, part: teacher.fit(part.x, part.y, epochs=10)"),
    ):
        if not callable(given) or isinstance(given, keras.Model):
            raise TypeError(
                f"`{argument}` must be a function, such as {example}. Received: "
                f"{type(given).__name__}."
            )
    if not isinstance(data, Part):
        raise TypeError(
            "`data` must be a keras_kd.data.Part, examples with labels and ids: "
            f"kd.data.Part(x, y, np.arange(len(x))). Received: {type(data).__name__}."
        )
    if data.y is None:
        raise ValueError("`data` has no labels, on which a teacher of each fold would be trained.")
    count(folds, "folds", 2)
    count(seed, "seed", 0)
    if len(data) < folds:
        raise ValueError(
            f"`folds` must be at most the number of examples, {len(data)}. Received: folds={folds}."
        )
