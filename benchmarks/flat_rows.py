"""How hard a row without variation pulls, for every loss, beside an ordinary row.

    KERAS_BACKEND=torch python benchmarks/flat_rows.py [--training]

A blank image or dead ReLUs make a row of equal numbers, and what is divided by a length or a
deviation is steep there. For each loss of the contract's table: the largest entry of the gradient
over all batches with flat rows (`keras_kd/testing/_flat_rows.py`), the largest ordinary one, and the largest
ratio of the two, for flat rows and for faint ones, which hardly vary.

`--training` instead: digits with one blank image in the first batch, plain SGD, with and without.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

sys.path.append(str(pathlib.Path(__file__).parents[1]))

import keras_kd
from keras_kd.testing._flat_rows import batches
from keras_kd.testing._program import result
from tests.losses.cases import CASES, Case, contract_of


def steepest(gradient) -> float:
    parts = [np.abs(part).max() for part in keras.tree.flatten(gradient)]
    return max(float(part) if np.isfinite(part) else np.inf for part in parts)


def line(case: Case) -> str:
    contract = contract_of(case)
    drawn = steepest(result(contract, *contract.inputs()).gradient)
    worst = dict.fromkeys((False, True), (0.0, 0.0, 0.0, ""))
    for flat in batches(contract):
        pull = steepest(result(contract, flat.target, flat.pred).gradient)
        usual = max(drawn, steepest(result(contract, flat.target, flat.ordinary).gradient))
        worst[flat.faint] = max(worst[flat.faint], (pull / usual, pull, usual, flat.kind))
    times, pull, usual, kind = worst[False]
    return f"| {case} | {usual:.2g} | {pull:.2g} | {times:.2g} | {kind} | {worst[True][0]:.2g} |"


def student(recipe: str, rate: float, blank: bool, teacher: keras.Model, seed: int) -> float:
    """Accuracy on the test images, of a student of ten epochs of plain SGD."""
    data = keras_kd.data.load("digits")
    x = data.x_train.copy()
    if blank:
        x[0] = 0.0  # and it stays there: the first row of the first step, when biases are 0
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(10),
        ]
    )
    terms = getattr(keras_kd.recipes, recipe)()
    distiller = keras_kd.Distiller(student=model, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.SGD(rate), cross_entropy())
    distiller.fit(x, data.y_train, batch_size=64, epochs=10, shuffle=False, verbose=0)
    said = model.predict(data.x_test, verbose=0).argmax(axis=-1)
    return float((said == data.y_test).mean())


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def training() -> None:
    data = keras_kd.data.load("digits")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    teacher = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    teacher.compile("adam", cross_entropy())
    teacher.fit(*data.train, epochs=20, verbose=0)
    print(
        "| recipe | learning rate | seed | no blank image | one of 1,157 |\n|---|---|---|---|---|"
    )
    for recipe in ("logit_standardization", "dist"):
        for rate in (0.05, 0.1):
            for seed in (1, 2):
                right = [student(recipe, rate, blank, teacher, seed) for blank in (False, True)]
                print(
                    f"| {recipe} | {rate} | {seed} | {right[0]:.3f} | {right[1]:.3f} |", flush=True
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--training", action="store_true")
    if parser.parse_args().training:
        training()
        return
    print(f"{keras.config.backend()}, Keras {keras.__version__}\n")
    print("| loss | ordinary | steepest | times | where | faint rows, times |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        print(line(case), flush=True)


if __name__ == "__main__":
    main()
