"""BERT of four layers to two on SST-2: its answers, its insides, and both, beside labels alone.

    KERAS_BACKEND=jax python benchmarks/sentences.py --data FOLDER --out sentences.csv
    python benchmarks/sentences.py --out sentences.csv --table

SST-2 (Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment
Treebank", 2013): phrases of film reviews, friendly or not, of which `--data` holds GLUE's
`sst2_train.tsv.gz` and `sst2_dev.tsv.gz`. The teacher, keras-hub's BERT from its configuration, not
pretrained, learns from all phrases. Then, from each seed, a student of two layers and half the
width learns from `--phrases` of them in the same number of steps from the same weights. Accuracy on the 872 sentences of the
development set; the difference to labels alone with a 95 % interval over the seeds (of five or more
paired differences). Rows are kept in `--out` as they come; run again, it goes on. Needs the extra
"hub".
"""

import argparse
import gzip
import pathlib
import time

import keras
import keras_hub
import numpy as np
from rows import Rows, difference_table

import keras_kd as kd
from keras_kd import recipes

WORDS, LENGTH, BATCH = 8000, 32, 64
TEACHER, STUDENT = (4, 128), (2, 64)  # layers, width; both of four heads

#: What a student learns by, given itself and its teacher.
WAYS = {
    "labels alone": lambda s, t: [kd.Labels()],
    "hinton": lambda s, t: recipes.hinton(temperature=2.0),
    "tinybert": lambda s, t: recipes.tinybert(s, t, labels_weight=1.0),
    "minilm": lambda s, t: recipes.minilm(s, t, labels_weight=1.0),
    "hinton and tinybert": lambda s, t: [*recipes.hinton(temperature=2.0), *recipes.tinybert(s, t)],
}


def read(path: pathlib.Path) -> tuple[list[str], np.ndarray]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        lines = [line.rstrip("\n").split("\t") for line in file][1:]
    return [text for text, _ in lines], np.array([int(label) for _, label in lines], "int32")


def model(size: tuple[int, int], seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers, width = size
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=WORDS, num_layers=layers, num_heads=4, hidden_dim=width,
        intermediate_dim=4 * width, max_sequence_length=LENGTH,
    )  # fmt: skip
    return keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)


class Bench:
    def __init__(self, options):
        self.options, self.rows = options, Rows(options.out)
        texts, self.y = read(options.data / "sst2_train.tsv.gz")
        held_out, self.y_test = read(options.data / "sst2_dev.tsv.gz")
        text = kd.data.Text.learn(texts, size=WORDS, length=LENGTH)
        self.x, self.x_test = inputs(text(texts)), inputs(text(held_out))

    def trained(self, student, terms, steps, seed, rows, teacher=None) -> keras.Model:
        distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps, warmup_target=self.options.rate, warmup_steps=steps // 10
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
        draw = np.random.default_rng(seed)
        turns = -(-steps * BATCH // len(rows))
        order = np.concatenate([draw.permutation(rows) for _ in range(turns)])[: steps * BATCH]
        x = {name: array[order] for name, array in self.x.items()}
        distiller.fit(x, self.y[order], batch_size=BATCH, shuffle=False, verbose=0)
        return student

    def teacher(self) -> keras.Model:
        path = self.options.out.with_name("sentences_teacher.weights.h5")
        made = model(TEACHER, 0)
        if not path.exists():
            rows = np.arange(len(self.y))
            self.trained(made, [kd.Labels()], self.options.teacher_steps, 0, rows)
            aside = path.with_name("aside.weights.h5")
            made.save_weights(aside)
            aside.replace(path)
        made.load_weights(path)
        return made

    def keep(self, way, seed, made, start) -> None:
        logits = made.predict(self.x_test, batch_size=218, verbose=0)
        right = f"{100 * float((logits.argmax(1) == self.y_test).mean()):.2f}"
        seconds = f"{time.perf_counter() - start:.0f}"
        self.rows.keep(way=way, seed=seed, accuracy=right, seconds=seconds)
        print(way, seed, f"{right} %", f"{seconds} s", flush=True)

    def run(self) -> None:
        start = time.perf_counter()
        teacher = self.teacher()
        if not self.rows.have(way="teacher"):
            self.keep("teacher", 0, teacher, start)
        some = np.random.default_rng(0).permutation(len(self.y))[: self.options.phrases]
        for seed in range(1, self.options.seeds + 1):
            for way, terms in WAYS.items():
                if self.rows.have(way=way, seed=seed):
                    continue
                start = time.perf_counter()
                student = model(STUDENT, seed)
                given = None if way == "labels alone" else teacher
                learnt = terms(student, teacher)
                self.trained(student, learnt, self.options.steps, seed, some, given)
                self.keep(way, seed, student, start)


def inputs(tokens: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "token_ids": tokens.astype("int32"),
        "segment_ids": np.zeros(tokens.shape, "int32"),
        "padding_mask": (tokens != 0).astype("int32"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=pathlib.Path, default=pathlib.Path())
    add("--out", type=pathlib.Path, default=pathlib.Path("sentences.csv"))
    add("--seeds", type=int, default=5)
    add("--rate", type=float, default=1e-3)
    add("--teacher-steps", type=int, default=2000)
    add("--phrases", type=int, default=5000, help="that the students learn from")
    add("--steps", type=int, default=400, help="of each student, 64 phrases each")
    add("--table", action="store_true", help="print the table, no more")
    options = parser.parse_args()
    if not options.table:
        Bench(options).run()
    print(difference_table(Rows(options.out), "accuracy", "labels alone", "accuracy, %"))


if __name__ == "__main__":
    main()
