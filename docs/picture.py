"""The picture at the top of README and site: `python docs/picture.py` draws it anew.

Its numbers are those of the README's table, which `keras-kd demo` prints.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
ASSETS = ROOT / "docs" / "assets"
COLORS = {  # text, faint text, bars: teacher, alone, distilled
    "light": ("#263238", "#607d8b", "#b0bec5", "#ef6c00", "#00796b"),
    "dark": ("#eceff1", "#90a4ae", "#546e7a", "#ffb74d", "#4db6ac"),
}
WIDE, ROW, LEFT, BAR, GAP = 720, 40, 150, 230, 60


def rows():
    """Name, mean errors and kB of each line of the README's table."""
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^\| (teacher|student \w+) \| ([\d.]+)[^|]*\|[^|]*\|[^|]*\|[^|]*\| ([\d.]+) \|",
        table,
        flags=re.MULTILINE,
    )
    return [(name, float(errors), float(size)) for name, errors, size in found]


def picture(on):
    text, faint, *bars = COLORS[on]
    table = rows()
    most, largest = max(r[1] for r in table), max(r[2] for r in table)
    right = LEFT + BAR + GAP
    parts = [
        label(LEFT, 22, "errors on 640 test images", faint),
        label(right, 22, "size in kB", faint),
    ]
    for place, ((name, errors, size), color) in enumerate(zip(table, bars, strict=True)):
        y = 36 + place * ROW
        parts.append(label(LEFT - 12, y + 20, name, text, anchor="end"))
        for x, value, top, wide in ((LEFT, errors, most, BAR), (right, size, largest, 180)):
            width = max(3, round(wide * value / top))
            parts.append(
                f'<rect x="{x}" y="{y}" width="{width}" height="28" rx="3" fill="{color}"/>'
            )
            parts.append(label(x + width + 8, y + 20, f"{value:g}", text))
    high = 36 + len(table) * ROW + 4
    title = "Errors and size: " + "; ".join(f"{n} {e:g}, {s:g} kB" for n, e, s in table)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" role="img" '
        f'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="15">\n'
        f"<title>{title}</title>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def label(x, y, words, color, anchor="start"):
    return f'<text x="{x}" y="{y}" fill="{color}" text-anchor="{anchor}">{words}</text>'


if __name__ == "__main__":
    for on in COLORS:
        (ASSETS / f"demo-{on}.svg").write_text(picture(on), encoding="utf-8")
