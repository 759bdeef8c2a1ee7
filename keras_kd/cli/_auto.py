"""`keras-kd auto`: from a teacher and limits to a proven file."""

import argparse
import json
from pathlib import Path
from typing import Any

from keras_kd import auto
from keras_kd.cli import _class_order
from keras_kd.cli._console import bad_input, give, tell
from keras_kd.cli._images import images, input_shape
from keras_kd.cli._load_models import load

_PAGE = "report.html"


def run(options: argparse.Namespace) -> None:
    with bad_input():
        limits = auto.Limits(
            size=options.size,
            latency=options.latency,
            parameters=options.parameters,
            flops=options.flops,
            arena=options.arena,
            accuracy=options.accuracy,
        )
        teacher = load(options.teacher)
        data = images(options.data, input_shape(teacher), options.scale, options.classes)
        if "validation" not in data:
            data = data.holding_out("validation", options.validation)
        _class_order.check_count(teacher, data)
        if not options.no_check:
            _class_order.check_order(options, teacher, data)
    tell(f"Limits: {limits}. Budget: {options.budget}. Folder: {options.out}.")
    result = auto.compress(
        teacher,
        data,
        limits=limits,
        budget=options.budget,
        students=options.students,
        folder=options.out,
        formats=options.formats,
        class_names=data.info.class_names,
        epochs=options.epochs,
        trials=options.trials,
        seed=options.seed,
    )
    page = options.out / _PAGE
    result.report.save(page)
    give(options, _as_dict(result, page), str(result), f"{page}: all of it, with pictures.")


def if_stopped(options: argparse.Namespace) -> str:
    """What there is, and how to go on."""
    there = [path for path in (options.out / f"best.{end}" for end in ("tflite", "keras"))
             if path.exists()]  # fmt: skip
    kept = f"{there[0]} is the best student so far. " if there else ""
    return f"{kept}Run the same command again to go on; what was spent of the budget counts."


def _as_dict(result: auto.Result, page: Path) -> dict[str, Any]:
    """The result for programs."""

    def told(one: auto.Best | None) -> dict[str, Any] | None:
        if one is None:
            return None
        return {
            "file": None if one.file is None else str(one.file),
            "student": str(one.student_file),
            "format": one.format,
            "values": one.values,
            "epochs": one.epochs,
            "costs": one.costs,
            "validation_score": one.score,
            "test_score": one.test_score,
        }

    found = {
        "verdict": result.verdict,
        "best": told(result.best),
        "helped": result.helped,
        "distilled": told(result.distilled),
        "control": told(result.control),
        "teacher": result.teacher,
        "default": result.default,
        "mattered": result.mattered,
        "notes": list(result.notes),
        "trials": len(result.trials),
        "seconds": result.seconds,
        "limits": str(result.limits),
        "page": str(page),
    }
    return json.loads(json.dumps(found, default=float))
