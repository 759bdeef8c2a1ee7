"""The table of all recipes in choose.md: `python docs/choose_table.py` writes it anew.

What a recipe needs is read from its signature, its docstring and its terms; what it was worth from
the tables in benchmarks/README.md; when to take it stands in WHEN.
"""

import inspect
import pathlib
import re
import types

import keras

import keras_kd as kd
from keras_kd._core.addresses import LABELS, SPANS, as_tuple

HERE = pathlib.Path(__file__).parent
PAGE = HERE / "choose.md"
RESULTS = HERE.parent / "benchmarks" / "README.md"
BEGIN, END = "<!-- table: made by choose_table.py -->\n", "<!-- end of table -->\n"

WHEN = {
    "hinton": "first of all: the measure for every other",
    "logit_standardization": "teacher and student have logits of very different size",
    "dkd": "many classes and a sure teacher",
    "dist": "a teacher far stronger than the student",
    "ttm": "a student that grows too sure",
    "wttm": "a teacher that is unsure of some examples only",
    "abkd": "sequences; neither divergence serves, and two powers may be searched",
    "nkd": "few classes; soft targets apart from the right class",
    "wsld": "a student that is already good on many examples",
    "deit": "vision transformers; a teacher that gives classes only",
    "ctkd": "no time to choose a temperature",
    "tf_kd": "no teacher and plenty of labels",
    "gkd": "sequences; measured here on images, at beta=0.5",
    "gold": "language models with tokenizers that differ",
    "draft": "a draft model for speculative decoding",
    "opd": "text that the student wrote; from one token, when the vocabulary is large",
    "minillm": "long texts that the student wrote",
    "sobolev": "inputs that can change a little, few examples",
    "binary": "yes-no questions, several labels at once",
    "regression": "numbers in place of classes",
    "fitnets": "one layer, other widths: the plain hint",
    "attention_transfer": "convolutions of like depth; a smaller weight for few layers",
    "sp": "other widths, no projector wanted",
    "rkd": "embeddings, retrieval: distances count",
    "pkt": "embeddings, retrieval: neighbours count",
    "nst": "convolutions; style of the features",
    "ft": "wide maps, memory to spare",
    "vid": "layers of which only a part can be learnt",
    "cc": "large batches, long training",
    "ab": "before training on labels, or beside it",
    "ofd": "convolutions with batch normalization before a ReLU",
    "review_kd": "deep convolutional pairs, all stages",
    "srd": "one pooled layer: cheap and strong",
    "crd": "large batches, long training",
    "crd_memory": "small batches, long training; needs the examples' numbers",
    "fsp": "pairs of stages of one size",
    "simkd": "the student may keep the teacher's last layer",
    "mgd": "dense tasks, long training",
    "tinybert": "Transformers, layer by layer",
    "minilm": "Transformers of other depth and width: the last layer alone",
    "representation": "pretraining on images without labels, from one teacher or several",
    "ca_mkd": "several teachers, not equally good, and labels",
    "own_teacher": "one network, with early exits",
    "mean_teacher": "few labels, many unlabelled examples in two views",
    "mutual": "no teacher: two students at once",
    "born_again": "no smaller network wanted: the same one, better",
    "assistant": "a student very much smaller than its teacher",
}
PROCEDURES = ("assistant", "born_again")
_NEEDED = {"units": 10, "steps": 10, "examples": 10}


def recipes():
    """The public recipes, by name, in the order of WHEN."""
    made = {n: f for n, f in vars(kd.recipes).items() if inspect.isfunction(f) and n[0] != "_"}
    return {name: made[name] for name in sorted(made, key=[*WHEN, *made].index)}


def terms_of(name, recipe):
    """The recipe's terms for layers `a` to `c` of models that nobody needs to have."""
    given = dict(_NEEDED)
    if name == "ofd":  # reads the margins off a normalization
        layers = [keras.layers.BatchNormalization(name="a"), keras.layers.ReLU()]
        given["teacher"] = keras.Sequential([keras.Input((4, 4, 2)), *layers])
    several = {"minilm": "abc", "fsp": "ab", "tinybert": "ab"}.get(name, "a")
    for side, role in (("pred", "student"), ("target", "teacher")):
        layers = tuple(f"{role}:{layer}" for layer in several)
        given[side] = layers if len(layers) > 1 else layers[0]
    if name == "gold":
        tokens = types.SimpleNamespace(id_to_token="ab".__getitem__, vocabulary_size=lambda: 2)
        return recipe(tokens, tokens)
    parameters = inspect.signature(recipe).parameters.values()
    roles = ("x", "y") if any(p.kind == p.VAR_POSITIONAL for p in parameters) else ()
    by_name = [p for p in parameters if p.kind == p.KEYWORD_ONLY]
    needed = [inspect.Parameter.empty, None]  # none: where models are given instead
    layers = [p.name for p in by_name if p.default in needed and p.name in ("pred", "target")]
    named = layers + [p.name for p in by_name if p.default is p.empty and p.name not in layers]
    return recipe(*roles, **{argument: given[argument] for argument in named})


def needs(name, recipe):
    """Labels, layers, several models, whole batches: what the recipe cannot do without."""
    parameters, terms = inspect.signature(recipe).parameters, terms_of(name, recipe)
    addresses = [a for term in terms if isinstance(term, kd.Term) for a in term.addresses()]
    found = []
    if any(LABELS in as_tuple(getattr(term, "target", "")) for term in terms):
        found.append("labels")
    elif any(isinstance(term, kd.Labels) for term in terms):
        found.append("(labels)")
    if any(p.kind == p.VAR_POSITIONAL for p in parameters.values()):
        found.append("several students" if name == "mutual" else "several teachers")
    elif not any(a.startswith("teacher") for a in addresses):
        found.append("no teacher")
    if any(SPANS in as_tuple(getattr(term, "target", "")) for term in terms):
        found.append("both tokenizers")
    if any(not a.endswith(("output", "jvp", "slope")) for a in addresses):
        found.append("layers")
    if any(getattr(getattr(term, "loss", None), "relational", False) for term in terms):
        found.append("relational")
    return ", ".join(found)


def measured():
    """By data set and recipe: the row of benchmarks/README.md."""
    section = RESULTS.read_text(encoding="utf-8").split("## Every recipe on real images")[1]
    tables = section.split("\n## ")[0].split("| student alone |")[1:]
    return {
        data: {
            row[0]: dict(zip(("accuracy", "gain", "seconds", "extra"), row[1:], strict=True))
            for row in re.findall(
                r"^\| (\w[\w ]*) \| ([\d.]+) \| ?(.*?) \| (.*?) \| (.*?) \|$", table, re.M
            )
        }
        for data, table in zip(
            ("fashion_mnist", "cifar10"), ("| student alone |" + t for t in tables), strict=True
        )
    }


def row(name, function, results):
    kind = "procedures" if name in PROCEDURES else "recipes"
    link = f"[`{name}`](reference/{kind}.md#keras_kd.{kind}.{name})"
    first = re.sub(r"\s+", " ", inspect.getdoc(function).split("\n\n")[0])
    want = "several trainings" if name in PROCEDURES else needs(name, function)
    rows = [results[data].get(name) for data in ("fashion_mnist", "cifar10")]
    if None in rows:
        return [link, first, want, "", "", "not measured", "not measured", WHEN[name]]
    alone = [float(results[data]["student alone"]["seconds"]) for data in results]
    cost = sum(float(r["seconds"]) / base for r, base in zip(rows, alone, strict=True)) / 2
    price = "cheap" if cost < 2.5 else "medium" if cost < 5 else "dear"
    return [link, first, want, price, rows[0]["extra"], *(r["gain"] for r in rows), WHEN[name]]


def table():
    """The table as Markdown."""
    results = measured()
    functions = {**recipes(), **{name: getattr(kd.procedures, name) for name in PROCEDURES}}
    heads = ["recipe", "in a sentence", "needs", "a step", "extra weights", "Fashion-MNIST"]
    lines = [[*heads, "CIFAR-10", "take it for"], ["---"] * 4 + ["---:"] * 3 + ["---"]]
    lines += [row(name, function, results) for name, function in functions.items()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def with_table(page):
    """The page, with the table that this script makes."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
