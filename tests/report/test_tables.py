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
    row = Row("student distilled", [10_000, 9_000], 0.5, 12_345_678, 12.345)
    assert len(lines([row], examples=10_000)) == 3
