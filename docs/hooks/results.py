"""The results as pages: the sections of benchmarks/README.md, with plots drawn from the rows.

Every section has a page here; a new one that is not listed stops the build.
"""

import pathlib
import re

import plots

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
SOURCE = "https://github.com/keras-kd/keras-kd/blob/main/benchmarks/"

# page -> title, what it holds in a line, sections of benchmarks/README.md
PAGES = {
    "recipes": (
        "Recipes on images",
        "every recipe beside the student alone, the teacher's share, pretraining without labels",
        ["Every recipe on real images", "The teacher's share", "Pretraining without labels"],
    ),
    "papers": (
        "Published experiments again",
        "MNIST as in the founding paper, the CIFAR protocol, film reviews",
        ["The founding paper's table", "The CIFAR protocol", "Film reviews"],
    ),
    "language": (
        "Text",
        "divergences, texts of the student's own, stored outputs, another tokenizer, drafts, BERT",
        ["Language models", "BERT on SST-2"],
    ),
    "tables": (
        "Trees as teachers",
        "a small network taught by forests and boosted trees",
        ["Forests and boosted trees as teachers"],
    ),
    "speed": (
        "Time and memory",
        "a step, stored answers, large vocabularies, a long run, an accelerator",
        [
            "Step time",
            "Stored answers",
            "Memory of losses over a large vocabulary",
            "The report",
            "A long run",
            "On an accelerator",
        ],
    ),
    "files": (
        "Files for devices",
        "students in every form of file, training for few bits, pruning",
        [
            "Students as files",
            "MLPerf Tiny's image classification",
            "MLPerf Tiny's keyword spotting, in small",
            "Quantisation-aware distillation",
            "Recovering without labels",
            "Pruning and distillation",
            "Prune, distil, quantise, prove",
            "Beside tfmot",
        ],
    ),
    "auto": (
        "Made to fit by itself",
        "searches beside what is done by hand, under limits of bytes and time",
        ["Made to fit by itself"],
    ),
    "forecast": (
        "Forecasts",
        "how often the intervals of a forecast hold what larger runs come to",
        ["Forecasts"],
    ),
    "peers": (
        "Beside other packages",
        "time, gradients, accuracy and memory of other ways to distil in Keras",
        ["Other ways to distil in Keras, side by side"],
    ),
    "numerics": (
        "Flat rows",
        "how hard blank images and dead units pull on each loss",
        ["Rows without variation"],
    ),
}

# section -> plots that stand under its heading: (function in plots.py, what the picture shows)
PLOTS = {
    "Every recipe on real images": [("gains", "Points gained over the student alone, by recipe")],
    "The teacher's share": [("shares", "Accuracy by the teacher's share, each seed and the mean")],
    "The founding paper's table": [("temperatures", "Errors on MNIST by temperature")],
    "The CIFAR protocol": [("cifar", "Accuracy on CIFAR-10, each seed and the mean")],
    "Language models": [("language", "Bits per byte by what the student learned by, each seed")],
    "BERT on SST-2": [("sentences", "Accuracy on SST-2, each seed and the mean")],
    "Film reviews": [("reviews", "Accuracy on film reviews, each seed and the mean")],
    "Recovering without labels": [
        ("recovered", "Accuracy after rounding to few bits, by the number of images")
    ],
    "Forecasts": [("forecasts", "The interval of each larger run, and what it came to")],
    "Students as files": [("files", "Size and agreement of each form of file")],
}


def sections():
    """What benchmarks/README.md says, by heading; under None, what stands before the first."""
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {None: parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def on_files(files, config):
    from mkdocs.structure.files import File

    found = sections()
    placed = [name for _, _, names in PAGES.values() for name in names]
    assert sorted(placed) == sorted(name for name in found if name), (
        "docs/hooks/results.py places other sections than benchmarks/README.md has: "
        f"{sorted({*placed} ^ {*found} - {None})}"
    )
    for uri, content in {**pages(found), **pictures()}.items():
        files.append(File.generated(config, f"results/{uri}", content=content))
    return files


def pages(found):
    """The text of every page, by its name under results/."""
    made = {"index.md": overview(found[None])}
    for page, (title, _, names) in PAGES.items():
        parts = [f"# {title}\n"]
        for name in names:
            shown = [picture(*plot) for plot in PLOTS.get(name, [])]
            parts += [f"## {name}\n", *shown, linked(found[name]).strip() + "\n"]
        made[f"{page}.md"] = "\n".join(parts)
    return made


def overview(scripts):
    rows = [f"| [{title}]({page}.md) | {line} |" for page, (title, line, _) in PAGES.items()]
    table = scripts.partition("\n")[2].strip()
    return (
        "# Results\n\nEvery number was measured by a script of the repository, which each section "
        "names with its options. The plots are drawn from the same rows when this site is built.\n\n"
        + picture("gains", "Points gained over the student alone, by recipe")
        + "\n| page | what it holds |\n|---|---|\n"
        + "\n".join(rows)
        + "\n\n## The scripts\n\n"
        + re.sub(r"`(\w+\.py)`", rf"[`\1`]({SOURCE}\1)", table)
        + "\n"
    )


def picture(name, alt):
    """A plot in the colours of the light scheme and of the dark one."""
    return "".join(f"![{alt}](plots/{name}-{on}.svg#only-{on})\n" for on in plots.COLORS)


def pictures():
    return {
        f"plots/{name}-{on}.svg": plots.drawn(name, on)
        for name, _ in sorted({plot for plots_of in PLOTS.values() for plot in plots_of})
        for on in plots.COLORS
    }


def linked(markdown):
    """Links to files of benchmarks/ lead to the repository."""
    return re.sub(r"\]\((results/)", rf"]({SOURCE}\1", markdown)
