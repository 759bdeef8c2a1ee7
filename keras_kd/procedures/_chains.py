"""Several trainings in a row: each student is the next one's teacher."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_kd.distiller import Distiller
from keras_kd.recipes import Terms, hinton

Build = Callable[[], keras.Model]
Train = Callable[[Distiller], Any]


def born_again(
    build: Build,
    train: Train,
    *,
    teacher: keras.Model,
    generations: int = 3,
    terms: Callable[[], Terms] = hinton,
) -> list[keras.Model]:
    """Generations of one network, each taught by the one before.

    The later ones are often better than the first, and the mean of all (`keras_kd.teachers.
    Ensemble`) better still.

    Args:
        build: Called without arguments for each new student; it has the teacher's architecture.
        train: Called with each `keras_kd.Distiller`; it compiles and fits it.
        teacher: The first teacher, trained.
        generations: Number of students. Defaults to `3`.
        terms: Called without arguments for each generation's terms. Defaults to
            `keras_kd.recipes.hinton`; the paper takes it at `temperature=1.0`.

    Returns:
        The students, first generation first. They are models of their own and can be trained on.

    Raises:
        ValueError: If `generations` is below 1, or `build` gives the same model twice.

    Example:

    >>> def build():
    ...     return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> seen = []
    >>> students = keras_kd.procedures.born_again(build, seen.append, teacher=build(), generations=2)
    >>> seen[1].teacher is students[0]
    True

    Reference: Furlanello et al., "Born Again Neural Networks", ICML 2018, arXiv:1805.04770,
    section 3.
    """
    if generations < 1:
        raise ValueError(f"`generations` must be 1 or more. Received: generations={generations!r}.")
    return assistant([build] * generations, train, teacher=teacher, terms=terms)


def assistant(
    builds: Iterable[Build],
    train: Train,
    *,
    teacher: keras.Model,
    terms: Callable[[], Terms] = hinton,
) -> list[keras.Model]:
    """Networks of falling size, each taught by the one before.

    A student far smaller than its teacher learns more from an assistant of a size in between.

    Args:
        builds: For each network, the largest first and the student last, a function without
            arguments that makes it.
        train: Called with each `keras_kd.Distiller`; it compiles and fits it.
        teacher: The first teacher, trained.
        terms: Called without arguments for each training's terms. Defaults to
            `keras_kd.recipes.hinton`.

    Returns:
        The networks in the order of `builds`; the last is the student.

    Raises:
        ValueError: If a function gives a model that has been there before.

    Example:

    >>> def network(units):
    ...     layers = [keras.layers.Dense(units), keras.layers.Dense(3)]
    ...     return lambda: keras.Sequential([keras.Input((2,)), *layers])
    >>> seen = []
    >>> builds = [network(8), network(4)]
    >>> _, student = keras_kd.procedures.assistant(builds, seen.append, teacher=network(16)())
    >>> seen[1].student is student
    True

    Reference: Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020,
    arXiv:1902.03393, section 3.
    """
    before, after = teacher, list[keras.Model]()
    for build in builds:
        student = build()
        if any(student is model for model in (teacher, *after)):
            raise ValueError(
                f"Each generation is a model of its own, and '{student.name}' has been there "
                "before. Make a new model in each call of `build`."
            )
        train(Distiller(student=student, teacher=before, terms=terms()))
        after.append(student)
        before = student
    for student in after:
        student.trainable = True  # a distiller freezes its teachers
    return after
