"""What an examination finds, and how it is shown."""

import os
import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any

from keras_kd._core.files import check_page, replacing

SEVERITIES = ("error", "warning", "fine")
_WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: What was looked at, such as `"input_scale"`.
        severity: `"error"`: distilling will not help until it is mended; `"warning"`: it will help
            less than it could; `"fine"`.
        evidence: What was measured, in words.
        remedy: A line of Python that mends it, or begins to; empty where there is none. Names are those
            of `examine`: `teacher`, `student`, `train`, `validation`; and `kd`, `keras`, `np`.
        reference: Where more is said of it; empty where nothing needs to be.
    """

    name: str
    severity: str
    evidence: str
    remedy: str = ""
    reference: str = ""


class Examination:
    """What `keras_kd.auto.examine` found; `print` shows it.

    Args:
        findings: All that was looked at, in its order.
        facts: What was measured, for `keras_kd.auto.suggest`.
        notes: What else there is to say, such as that validation data were held out.
        seconds: How long it took.
    """

    def __init__(
        self, findings: tuple[Finding, ...], facts: Any, notes: tuple[str, ...], seconds: float
    ):
        self.findings, self.facts, self.notes, self.seconds = findings, facts, notes, seconds

    def __getitem__(self, name: str) -> Finding:
        """The finding of this name."""
        found = next((one for one in self.findings if one.name == name), None)
        if found is None:
            names = ", ".join(one.name for one in self.findings)
            raise KeyError(f"Nothing of the name '{name}' was looked at. There are: {names}.")
        return found

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The errors, then the warnings."""
        return tuple(f for s in SEVERITIES[:2] for f in self.findings if f.severity == s)

    @property
    def verdict(self) -> str:
        """One sentence."""
        errors = sum(f.severity == "error" for f in self.findings)
        warnings = sum(f.severity == "warning" for f in self.findings)
        if not errors + warnings:
            return f"Nothing speaks against distilling: {len(self.findings)} things looked at."
        counts = [
            f"{count} {word}{'s' * (count > 1)}"
            for count, word in ((errors, "error"), (warnings, "warning"))
            if count
        ]
        what = "Distilling will not help until this is mended" if errors else "Look at this first"
        return f"{what}: {' and '.join(counts)}."

    def __str__(self) -> str:
        lines = [self.verdict, *self.notes]
        for found in self.problems:
            begin = f"{found.severity}: {found.name}: "
            lines += ["", *textwrap.wrap(begin + found.evidence, _WIDTH)]
            lines += [f"    {found.remedy}"] if found.remedy else []
            if found.reference:
                lines += textwrap.wrap(found.reference, _WIDTH, initial_indent="    ",
                                       subsequent_indent="    ")  # fmt: skip
        fine = [found.name for found in self.findings if found.severity == "fine"]
        if fine:
            lines += ["", *textwrap.wrap(f"fine: {', '.join(fine)}", _WIDTH)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "verdict": self.verdict,
            "findings": [vars(found) for found in self.findings],
            "notes": list(self.notes),
            "seconds": self.seconds,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it as one page, `.html`, that needs nothing else.

        Raises:
            ValueError: If `path` does not end in `.html`.
        """
        check_page(path)
        parts = [f"<h1>{escape(self.verdict)}</h1>", *(f"<p>{escape(n)}</p>" for n in self.notes)]
        for found in self.findings:
            parts.append(f"<h2>{escape(found.name)}: {found.severity}</h2>")
            parts.append(f"<p>{escape(found.evidence)}</p>")
            parts += [f"<pre>{escape(found.remedy)}</pre>"] if found.remedy else []
            parts += [f"<p><small>{escape(found.reference)}</small></p>"] if found.reference else []
        page = (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            "<title>Examination</title></head><body style=\"font: 16px/1.5 system-ui, sans-serif; "
            'max-width: 60rem; margin: 1rem auto; padding: 0 1rem">' + "".join(parts)
            + "</body></html>\n"
        )  # fmt: skip
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
