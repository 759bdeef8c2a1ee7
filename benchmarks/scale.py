"""What storing a large teacher's answers costs, worked out from measured rates.

    python benchmarks/scale.py
    python benchmarks/scale.py --parameters 7e9 --examples 1e8 --positions 512 --days 2

Nothing is run. A teacher of P parameters needs about 2 P operations for each position of an example
(a multiplication and an addition for each weight; attention's own share is left out). Bytes are
those of the format: 2 for each class in float16, or 4 for each of the largest logits and 4 for the
log-sum-exp; beside them stand, for each example, its id (twice: in the shard and in the index), its
place and three numbers to know the input by. The index is held in memory by a process that reads
the whole store; one that reads a part holds that part's. The rates at which one process writes and reads answers are those that `stores.py`
measured on two cores; an accelerator's rate and the share of it that inference reaches are
assumptions, to be set to one's own.
"""

import argparse
import math

from rich.console import Console
from rich.table import Table

DAY = 86_400


def shown(seconds: float) -> str:
    for name, unit in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.1f} seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=1e9)
    parser.add_argument("--examples", type=float, default=1e9)
    parser.add_argument("--positions", type=int, default=256, help="patches or tokens an example")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--largest", type=int, default=16, help="logits kept of an answer")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--id-bytes", type=int, default=15, help="length of an id")
    parser.add_argument(
        "--rate", type=float, default=4e14, help="operations a second, of one device"
    )
    parser.add_argument(
        "--reached", type=float, default=0.4, help="share of it that inference uses"
    )
    parser.add_argument("--days", type=float, default=1.0, help="within which it has to be done")
    parser.add_argument("--written", type=float, default=91_858, help="answers a second, a process")
    parser.add_argument(
        "--read", type=float, default=128 / 0.98e-3, help="answers a second, a process"
    )
    options = parser.parse_args()

    answers = options.examples * options.views
    operations = 2 * options.parameters * options.positions
    seconds = answers * operations / (options.rate * options.reached)
    devices = math.ceil(seconds / (options.days * DAY))
    each = answers / (options.days * DAY)
    console = Console(width=100)
    console.print(
        f"A teacher of {options.parameters:.0e} parameters, {options.examples:.0e} examples of "
        f"{options.positions} positions, {options.views} view(s): {operations:.1e} operations an answer."
    )
    table = Table("", "", title="The teacher")
    table.add_row("on one device", shown(seconds))
    table.add_row(f"devices to be done in {options.days:g} day(s)", f"{devices:,}")
    table.add_row("answers a second, each device", f"{each / devices:,.0f}")
    table.add_row("writing processes needed for all", f"{math.ceil(each / options.written):,}")
    index = options.examples * (8 + options.id_bytes)
    table.add_row("index, in memory to read all of it", f"{index / 1e9:,.1f} GB")
    table.add_row("index, to read what one device wrote", f"{index / devices / 1e9:,.2f} GB")
    console.print(table)
    table = Table(
        "answers as", "bytes each", "in all", "GB a device writes", "read once, one process"
    )
    for name, size in (
        (f"float16, {options.classes:,} classes", 2 * options.classes),
        (f"the {options.largest} largest", 4 * options.largest + 4),
    ):
        stored = answers * size + options.examples * (20 + 2 * options.id_bytes)
        table.add_row(
            name, f"{size:,}", f"{stored / 1e12:,.2f} TB", f"{stored / devices / 1e9:,.1f}",
            shown(answers / options.read),
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
