"""Runs a file in a process that has nothing of this package: `python _standalone_runner.py KIND FILE FOLDER`.

Inputs are read from `inputs.npz` in the folder, one example at a time; the outputs go to
`outputs.npz`, together with the times of some calls.
"""

import os
import sys
import threading
import time

import numpy as np

_CALLS, _SECONDS = 200, 2.0


def end_with_parent():
    """Ends this process when the one that holds its standard input is no more."""

    def wait():
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def timed(call):
    """Seconds of each of some calls, until there are enough of them or it has taken too long."""
    call()
    took: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(took) < _CALLS and (len(took) < 5 or time.perf_counter() < end):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return took


def quantized(x, scale, zero, dtype):
    """Floats as the integers that stand for them."""
    info = np.iinfo(dtype)
    return np.clip(np.round(x / scale) + zero, info.min, info.max).astype(dtype)


def saved_model(path, inputs):
    """A SavedModel, on one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(path)
    call = loaded.signatures["serving_default"]
    length = len(next(iter(inputs.values())))
    rows = []
    for place in range(0, length, 32):
        batch = {n: tf.constant(x[place : place + 32]) for n, x in inputs.items()}
        rows.append({n: y.numpy() for n, y in call(**batch).items()})
    one = {n: tf.constant(x[-1:]) for n, x in inputs.items()}
    outputs = {n: np.concatenate([row[n] for row in rows]) for n in rows[0]}
    return {**outputs, "_seconds": timed(lambda: call(**one))}


def micro(path, inputs):
    """A LiteRT file in the interpreter for microcontrollers; its memory is told on the output."""
    from tflite_micro import runtime

    # The inputs come in the order of the file, under names of their places.
    size = 10 * os.path.getsize(path) + 4 * 2**20
    interpreter = runtime.Interpreter.from_file(path, arena_size=size)
    places = sorted(inputs)
    outputs: dict[str, list[np.ndarray]] = {}
    for place in range(len(inputs[places[0]])):
        for index, name in enumerate(places):
            interpreter.set_input(inputs[name][place : place + 1], index)
        interpreter.invoke()
        index = 0
        while True:
            try:
                answer = np.array(interpreter.get_output(index))
            except (IndexError, RuntimeError, ValueError):
                break
            outputs.setdefault(f"{index:03}", []).append(answer)
            index += 1
    interpreter.print_allocations()
    return {name: np.concatenate(rows) for name, rows in outputs.items()}


if __name__ == "__main__":
    end_with_parent()
    kind, path, folder = sys.argv[1:]
    with np.load(os.path.join(folder, "inputs.npz")) as arrays:
        given = {name: arrays[name] for name in arrays.files}
    results = {"saved_model": saved_model, "micro": micro}[kind](path, given)
    np.savez(os.path.join(folder, "outputs.npz"), **results)
