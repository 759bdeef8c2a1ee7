import io

from rich.console import Console

from keras_kd.report import Row, table


def lines(rows, examples=640, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(table(rows, examples))
    printed = console.file.getvalue().splitlines()
    return [" ".join(line.split()) for line in printed if line.strip()]


def test_table():
    drawn = lines(
        [
            Row("teacher", [24], 1.0, 29_066, 0.684),
            Row("student alone", [86, 90, 100], 0.8766, 1_210, 0.2),
        ]
    )
    assert drawn[0] == "errors of 640 in % as teacher weights kB ms"
    assert drawn[2] == "teacher 24 3.8 100.0 % 29,066 116.3 0.68"
    # mean 92; standard deviation √((36 + 4 + 64) / 2)
    assert drawn[3] == "student alone 92.0 ± 7.2 14.4 87.7 % 1,210 4.8 0.20"


def test_table_fits_a_terminal_also_with_large_numbers():
    row = Row("student distilled", [2_700, 2_842], 1.0, 1_410_890, 12.345)
    drawn = lines([row], examples=10_000)
    assert len(drawn) == 3
    said = "student distilled 2771.0 ± 100.4 27.7 100.0 % 1,410,890 5,644 12.35"
    assert drawn[2] == said.replace("12.35", f"{12.345:.2f}")
