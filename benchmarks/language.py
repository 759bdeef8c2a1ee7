"""Language models on film reviews: each way to distil beside the student alone, in bits per byte.

    KERAS_BACKEND=jax TFDS_DATA_DIR=... python benchmarks/language.py --folder language
    python benchmarks/language.py --folder language --drafts
    python benchmarks/language.py --folder language --table

A byte-level BPE of 1,000 tokens is trained on the reviews (Maas et al., "Learning Word Vectors for
Sentiment Analysis", 2011), and cut into windows of 65. A Llama of four blocks learns from them as
teacher, once. Then, from each seed, a Llama of two blocks learns in the same number of steps from the
same weights: by the next tokens alone, by divergences from the teacher, on text that it writes itself,
from stored outputs, and from another teacher, of four blocks too, that learned the same reviews with a
BPE of 600 tokens. Bits per byte on windows of held-out reviews; the difference to the student
alone with a 95 % interval over the seeds (of five or more paired differences).

Rows are kept in --folder as they come, the teacher, its tokenizer and its stores as well; run again,
it goes on. Needs the extra "hub".
"""

import argparse
import functools
import pathlib
import time

import keras
import keras_hub
import numpy as np
import tokenizers
from rows import Rows, difference_table

import keras_kd as kd
from keras_kd import losses, recipes

LENGTH, PROMPT = 64, 8
TEACHER, STUDENT = (4, 128, 4), (2, 48, 2)  # blocks, width, heads


def soft(loss, weight=1.0):
    return [kd.Term(loss, target="teacher:output", weight=weight)]


#: What a student learns by: its terms, and where its batches come from.
WAYS = {
    "alone": (lambda: [kd.Labels()], "data"),
    "forward": (lambda: recipes.gkd(beta=0.0), "data"),
    "reverse": (lambda: recipes.gkd(beta=1.0), "data"),
    "Jensen-Shannon": (lambda: recipes.gkd(beta=0.5), "data"),
    "skew": (lambda: soft(losses.SkewKL(0.1)), "data"),
    "forward and labels": (
        lambda: recipes.gkd(beta=0.0, weight=0.5, labels_weight=0.5), "data",
    ),
    "half written by the student": (lambda: recipes.gkd(beta=0.5), "half"),
    "written by the student": (lambda: recipes.gkd(beta=0.5), "written"),
    "another tokenizer": (lambda *both: recipes.gold(*both), "other"),
    "another tokenizer and labels": (
        lambda *both: recipes.gold(*both, weight=0.5, labels_weight=0.5), "other",
    ),
    "stored, 8 largest": (lambda: soft(losses.SparseSoftTarget(1.0)), "largest"),
    "stored, 8 largest, and labels": (
        lambda: [kd.Labels(0.5), *soft(losses.SparseSoftTarget(1.0), 0.5)], "largest",
    ),
    "stored, 8 drawn": (lambda: soft(losses.SampledSoftTarget(1.0)), "drawn"),
}  # fmt: skip
STORES = {"largest": {"top_k": 8}, "drawn": {"sampled": 8}}


class Bench:
    def __init__(self, options):
        self.options, self.folder = options, options.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = Rows(self.folder / "rows.csv")
        data = kd.data.load("imdb_reviews")
        self.texts = data["train"].x
        self.tokenizer = self._tokenizer("tokenizer.json", options.vocabulary)
        self.train = self._windows(self.tokenizer, self.texts, options.windows)
        self.test = self._windows(self.tokenizer, data["test"].x, options.tested)
        self.sizes = kd.metrics.token_bytes(self.tokenizer)

    def _tokenizer(self, name, vocabulary):
        path = self.folder / name
        if not path.exists():
            made = tokenizers.Tokenizer(tokenizers.models.BPE())
            made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
            trainer = tokenizers.trainers.BpeTrainer(
                vocab_size=vocabulary, special_tokens=["<end>"],
                initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            )  # fmt: skip
            made.train_from_iterator(map(_text, self.texts[:5000]), trainer)
            made.save(str(path))
        return tokenizers.Tokenizer.from_file(str(path))

    def _windows(self, tokenizer, texts, count):
        """Reviews one after another, cut into windows of one token more than inputs have."""
        found, tokens = [], []
        for text in texts:
            tokens += [*tokenizer.encode(_text(text)).ids, 0]
            while len(tokens) > LENGTH:
                found.append(tokens[: LENGTH + 1])
                tokens = tokens[LENGTH:]
            if len(found) >= count:
                break
        return np.array(found[:count], "int32")

    def model(self, size, seed, vocabulary=None):
        keras.utils.set_random_seed(seed)
        blocks, width, heads = size
        backbone = keras_hub.models.LlamaBackbone(
            vocabulary_size=vocabulary or self.options.vocabulary, num_layers=blocks, hidden_dim=width,
            intermediate_dim=3 * width, num_query_heads=heads, num_key_value_heads=heads,
        )  # fmt: skip
        model = keras_hub.models.LlamaCausalLM(backbone=backbone, preprocessor=None)
        model.compile(sampler="random")  # writes by its whole distribution
        return model

    def trained(self, student, terms, batches, steps, teacher=None):
        rate = keras.optimizers.schedules.CosineDecay(self.options.rate, steps)
        distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
        labels = any(isinstance(term, kd.Labels) for term in terms)
        distiller.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "auto" if labels else None)
        per_epoch = min(steps, 100)
        distiller.fit(batches, steps_per_epoch=per_epoch, epochs=steps // per_epoch, verbose=0)
        return student

    def teacher(self):
        return self._teacher("teacher.weights.h5", self.options.vocabulary, lambda: self.train)

    def other_teacher(self):
        """A teacher with a tokenizer of its own, and that."""
        size = self.options.other_vocabulary
        tokenizer = self._tokenizer(f"tokenizer_{size}.json", size)
        windows = functools.partial(self._windows, tokenizer, self.texts, self.options.windows)
        return self._teacher(f"teacher_{size}.weights.h5", size, windows), tokenizer

    def _teacher(self, name, vocabulary, windows):
        path = self.folder / name
        model = self.model(TEACHER, 0, vocabulary)
        if not path.exists():
            steps, windows = self.options.teacher_steps, windows()
            self.trained(model, [kd.Labels()], self._of_windows(windows, 0), steps)
            aside = path.with_name("aside.weights.h5")
            model.save_weights(aside)
            aside.replace(path)
        model.load_weights(path)
        return model

    def batches(self, source, seed, teacher=None, tokenizers=()):
        """Batches without an end."""
        x, y, size = _inputs(self.train), self.train[:, 1:], self.options.batch
        if source in ("half", "written"):
            return kd.sources.OnPolicy(
                [list(window[:PROMPT]) for window in self.train], max_length=LENGTH + 1,
                data=[list(window) for window in self.train], batch_size=size, seed=seed,
                share={"half": 0.5, "written": 1.0}[source], stop_token_ids=[0],
            )  # fmt: skip
        if source == "data":
            return self._of_windows(self.train, seed)
        if source == "other":
            both = kd.sources.TwoTokenizers(
                self.train, *tokenizers, max_length=LENGTH + 1, batch_size=size, seed=seed
            )
            return _Batches(None, len(y), size, seed, both)
        part = kd.data.Part(x, y, np.arange(len(y)))
        path = self.folder / source
        kd.stores.write(teacher, part, path, temperatures=1.0, batch_size=64, **STORES[source])
        read = kd.stores.read(path, part, batch_size=size, shuffle=True, seed=seed)
        return _Batches(None, len(y), size, seed, read)

    def _of_windows(self, windows, seed):
        x, y = _inputs(windows), windows[:, 1:]
        return _Batches(lambda rows: (_rows(x, rows), y[rows]), len(y), self.options.batch, seed)

    def bits_per_byte(self, model):
        metric = kd.metrics.BitsPerByte(self.sizes)
        for start in range(0, len(self.test), 50):
            some = self.test[start : start + 50]
            metric.update_state(some[:, 1:], model.predict_on_batch(_inputs(some)))
        return float(metric.result())

    def run(self):
        teacher = self.teacher()
        if not self.rows.have(way="teacher"):
            self.rows.keep(way="teacher", seed=0, bits=f"{self.bits_per_byte(teacher):.4f}",
                           seconds="")  # fmt: skip
        for seed in self.options.seeds:
            for way in self.options.ways:
                if self.rows.have(way=way, seed=seed):
                    continue
                terms, source = WAYS[way]
                given, both = teacher, ()
                if source == "other":
                    given, tokenizer = self.other_teacher()
                    both = self.tokenizer, tokenizer
                batches = self.batches(source, seed, given, both)
                if way == "alone" or source in STORES:
                    given = None
                start = time.perf_counter()
                student = self.trained(
                    self.model(STUDENT, seed), terms(*both), batches, self.options.steps, given
                )
                seconds = time.perf_counter() - start
                bits = f"{self.bits_per_byte(student):.4f}"
                self.rows.keep(way=way, seed=seed, bits=bits, seconds=f"{seconds:.0f}")
                print(seed, way, bits, f"{seconds:.0f} s", flush=True)

    def drafts(self):
        """A student that drafts for the teacher: before, and after as many steps again of `draft`
        or, as the control, of next tokens."""
        teacher, rows = self.teacher(), Rows(self.folder / "drafts.csv")
        afterwards = {"next tokens": [kd.Labels()], "draft": recipes.draft()}
        for seed in self.options.seeds:
            if all(rows.have(way=way, seed=seed) for way in ("before", *afterwards)):
                continue
            steps, batches = self.options.steps, self.batches("data", seed)
            student = self.trained(self.model(STUDENT, seed), [kd.Labels()], batches, steps)
            before = student.get_weights()
            self._keep_draft(rows, "before", seed, student, teacher, time.perf_counter())
            for way, terms in afterwards.items():
                student.set_weights(before)
                start, again = time.perf_counter(), self.batches("data", 100 + seed)
                given = teacher if way == "draft" else None
                self.trained(student, terms, again, steps, given)
                self._keep_draft(rows, way, seed, student, teacher, start)
        return rows

    def _keep_draft(self, rows, way, seed, student, teacher, start):
        seconds = time.perf_counter() - start
        metric = kd.metrics.AcceptanceLength(drafted=4)
        for first in range(0, len(self.test), 50):
            x = _inputs(self.test[first : first + 50])
            metric.update_state(teacher.predict_on_batch(x), student.predict_on_batch(x))
        length = f"{float(metric.result()):.4f}"
        if not rows.have(way=way, seed=seed):
            rows.keep(way=way, seed=seed, length=length, seconds=f"{seconds:.0f}")
            print(seed, way, length, flush=True)


class _Batches(keras.utils.PyDataset):
    """The same batches again and again, in seeded orders."""

    def __init__(self, batch, examples, size, seed, read=None):
        super().__init__()
        self.batch, self.read, self.size, self.seed = batch, read, size, seed
        self.per_turn = len(read) if read is not None else examples // size
        self.examples = examples
        self.turn = 0

    @property
    def num_batches(self):
        return None

    def __getitem__(self, index):
        turn, place = divmod(index, self.per_turn)
        if self.read is not None:
            while self.turn < turn:
                self.read.on_epoch_end()
                self.turn += 1
            return self.read[place]
        order = np.random.default_rng((self.seed, turn)).permutation(self.examples)
        return self.batch(order[place * self.size : (place + 1) * self.size])


def _text(text):
    return text.decode() if isinstance(text, bytes) else str(text)


def _inputs(windows):
    tokens = windows[:, :-1]
    return {"token_ids": tokens, "padding_mask": np.ones(tokens.shape, "bool")}


def _rows(x, rows):
    return {name: array[rows] for name, array in x.items()}


def _table(rows) -> str:
    return difference_table(rows, "bits", "alone", "bits per byte", digits=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--folder", type=pathlib.Path, default=pathlib.Path("language"))
    add("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    add("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    add("--vocabulary", type=int, default=1000)
    add("--other-vocabulary", type=int, default=600, help="of the teacher with another tokenizer")
    add("--windows", type=int, default=20_000, help="to train on")
    add("--tested", type=int, default=1000, help="windows of held-out reviews")
    add("--batch", type=int, default=32)
    add("--rate", type=float, default=3e-3)
    add("--teacher-steps", type=int, default=2000)
    add("--steps", type=int, default=500, help="of each student")
    add("--drafts", action="store_true", help="only students that draft for the teacher")
    add("--table", action="store_true", help="print the table, no more")
    options = parser.parse_args()
    if options.table:
        print(_table(Rows(options.folder / "rows.csv")))
        return
    bench = Bench(options)
    if options.drafts:
        heading = "of 4 tokens accepted"
        print(difference_table(bench.drafts(), "length", "next tokens", heading, digits=3))
        return
    bench.run()
    print(_table(bench.rows))


if __name__ == "__main__":
    main()
