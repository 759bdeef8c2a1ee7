"""The tables of README.md, from the rows; what is missing stands as "not run"."""

from collections.abc import Sequence

NOT_RUN = "not run"
BACKENDS = ("jax", "torch")
LAWS = (
    "one pass of the student a step", "evaluate moves nothing", "the teacher does not move",
    "losses as on a CPU", "DataParallel over one device",
)  # fmt: skip
STEPS = tuple(
    f"{pair}, {batch}, {policy}"
    for pair, batches in (
        ("resnet32x4, resnet8x4", (64, 512)), ("ViT 384x6, 192x4", (128,)),
        ("Llama 512x8, 256x4", (16,)),
    )
    for batch in batches for policy in ("float32", "mixed_bfloat16")
)  # fmt: skip
VOCABULARY = ("SoftTarget", "ReverseKL", "JensenShannon", "DecoupledSoftTarget")
METHODS = ("teacher", "student alone", "hinton", "logit_standardization", "dkd")


def of(rows: Sequence[dict]) -> str:
    """All tables, one after the other, and what they were measured on."""
    found = {}
    for row in rows:
        found.setdefault((row["part"], row.get("backend"), row["case"]), []).append(row)

    def one(part, backend, case):
        return found.get((part, backend, case), [{}])[-1]

    parts = (laws, steps, vocabulary, stores, cifar)
    tables = ["\n".join(table(one, found)) for table in parts]
    return "\n\n".join([circumstances(rows), *tables])


def circumstances(rows: Sequence[dict]) -> str:
    """Devices, versions and dates, each once."""

    def said(row):
        version = f"{row['backend']} {row.get(row['backend'])}"
        return f"{row['date']}: {row['device']}, Keras {row['keras']}, {version}"

    return "; ".join(dict.fromkeys(said(row) for row in rows if "date" in row)) or NOT_RUN


def cell(row: dict, key: str, form: str = "{:.2f}") -> str:
    """A value as text; what failed and what was not run are told apart."""
    if row.get(key) is not None:
        return form.format(row[key])
    failed = "error" in row or any(name.endswith(" error") for name in row)
    return "failed" if failed else NOT_RUN


def lines(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(line)} |" for line in (head, rule, *body)]


def laws(one, found) -> list[str]:
    def held(backend, case):
        row = one("laws", backend, case)
        if "held" not in row:
            return "no such engine" if (backend, case) == ("torch", LAWS[-1]) else cell(row, "held")
        gap = f" (largest difference {row['largest']:.1e})" if "largest" in row else ""
        return ("holds" if row["held"] else "**does not hold**") + gap

    return lines(["law", *BACKENDS], [[case, *(held(b, case) for b in BACKENDS)] for case in LAWS])


def steps(one, found) -> list[str]:
    names = ("floor", "keras.io", "keras.distillation")
    head = [
        "teacher, student, batch, precision",
        "backend",
        "ours, ms",
        *(f"over {n}" for n in names),
    ]
    return lines(head, [
        [case, backend, cell(row, "ours ms"), *(cell(row, f"over {n}", "{:.3f}") for n in names)]
        for case in STEPS for backend in BACKENDS for row in [one("step", backend, case)]
    ])  # fmt: skip


def vocabulary(one, found) -> list[str]:
    head = [
        "loss",
        "backend",
        "ours, arrays",
        "plain, arrays",
        "ours, ms",
        "plain, ms",
        "positions",
    ]
    body = []
    for name in VOCABULARY:
        for backend in BACKENDS:
            pair = [one("vocabulary", backend, f"{name}, {kind}") for kind in ("ours", "plain")]
            where = list(dict.fromkeys(f"{r['positions']:,}" for r in pair if "positions" in r))
            body.append([
                name, backend, *(cell(row, "arrays") for row in pair),
                *(cell(row, "ms", "{:.1f}") for row in pair), ", ".join(where) or NOT_RUN,
            ])  # fmt: skip
    return lines(head, body)


def stores(one, found) -> list[str]:
    kinds = ("live", "stored", "plain", "read alone")
    case = next((key[2] for key in found if key[0] == "store" and key[2] != "(the part)"), "")
    body = []
    for backend in BACKENDS:
        row = one("store", backend, case)
        rates = [cell(row, f"{kind} images/s", "{:,}") for kind in kinds]
        body.append([backend, *rates, cell(row, "live over stored"),
                     cell(row, "stored over plain"), cell(row, "input-bound", "{}")])  # fmt: skip
    head = ["images a second", *kinds, "live / stored, s", "stored / plain, s", "input-bound"]
    return lines(head, body)


def cifar(one, found) -> list[str]:
    body = []
    for method in METHODS:
        rows = found.get(("cifar", "jax", method), [])
        rows = sorted((r for r in rows if "accuracy" in r), key=lambda r: r["seed"])
        values = [row["accuracy"] for row in rows]
        mean = f"{sum(values) / len(values):.2f}" if values else NOT_RUN
        epochs = ", ".join(dict.fromkeys(str(row["epochs"]) for row in rows))
        body.append([method, mean, ", ".join(f"{v:.2f}" for v in values), epochs])
    return lines(["CIFAR-10", "accuracy, %", "each seed", "epochs"], body)
