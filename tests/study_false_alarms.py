"""How often the audit warns: of clean data, where every warning is false, and of data with one planted flaw.

    python tests/study_false_alarms.py clean    [--sets 500] [--jobs 16]    a row for each kind of clean data set
    python tests/study_false_alarms.py planted  [--sets 200] [--jobs 16]    a row for each kind of plant

Run from the root of the repository with PYTHONPATH=scripts:tests/helpers and OMP_NUM_THREADS=1. With 16 jobs `clean`
takes about 5 minutes and `planted` about 10. A warning is a check of `JUDGED` that does not pass; the interval is that
of Clopper and Pearson. Of `clean`, --sets is the number over all kinds; of `planted`, that of each plant.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import pandas as pd
from audited import leakage, subject
from planted import PLANTS, simulate
from scipy.stats import beta

from dnalm.evaluation.audit.findings import audit
from dnalm.names import SPLITS
from dnalm.tables.sequences import truth_column

JUDGED = ("shortcuts", "markers", "origin", "split_balance", "target_distributions")
"""The checks that compare with chance."""

CLEAN: dict[str, tuple[float, dict[str, Any]]] = {
    "200 records, 2 classes": (3, {"number": 200}),
    "1,000 records, 2 classes": (2, {"number": 1000}),
    "5,000 records, 2 classes": (1, {"number": 5000}),
    "200 records, 3 classes": (2, {"number": 200, "classes": 3}),
    "1,000 records, 3 classes": (2, {"number": 1000, "classes": 3}),
    "1,000 records, 1 in 10 positive": (2, {"number": 1000, "rare": 0.1}),
    "1,000 records of one length": (2, {"number": 1000, "spread": 0}),
    "1,000 records, families of 4, one label each": (2, {"number": 1000, "family": 4}),
    "1,000 records, families of 1 to 30, one label each": (2, {"number": 1000, "family": 8, "skewed": True}),
    "1,000 records, families of both labels": (2, {"number": 1000, "family": 4, "mixed": True}),
    "200 records with targets": (2, {"number": 200, "truth": "target"}),
    "1,000 records with targets, families of 4": (2, {"number": 1000, "truth": "target", "family": 4}),
}
"""Of each kind of clean data set, its share of the sets and how it is made."""


def main() -> None:
    """Print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=("clean", "planted"))
    options.add_argument("--sets", type=int, default=None, metavar="N")
    options.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    options.add_argument("--only", default="", help="only kinds with these words in their names")
    args = options.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:
        (clean if args.what == "clean" else planted)(pool, args.sets, args.only)


def clean(pool: ProcessPoolExecutor, sets: int | None, only: str) -> None:
    """Rates of warnings by kind of clean data set, and over all of them."""
    weights = sum(weight for weight, _ in CLEAN.values())
    every, by_check = [], dict.fromkeys(JUDGED, 0)
    print("| Clean data | sets | any warning | 95 % interval |\n|---|---|---|---|")
    for name, (weight, design) in CLEAN.items():
        if only in name:
            number = round((sets or 500) * weight / weights)
            found = list(pool.map(partial(alarms, design), range(number)))
            every += found
            print(f"| {name} | {rate([bool(one) for one in found])} |", flush=True)
            for one in found:
                for check in one:
                    by_check[check] += 1
    print(f"| all | {rate([bool(one) for one in every])} |")
    print(f"\nBy check: {by_check}")


def alarms(design: dict[str, Any], seed: int) -> list[str]:
    """The checks that do not pass on one clean data set."""
    return warned(simulate(seed=seed, **design))


def planted(pool: ProcessPoolExecutor, sets: int | None, only: str) -> None:
    """Rates at which each plant is found by the check that is for it."""
    print("| Planted | records | data sets | found | 95 % interval |\n|---|---|---|---|---|")
    for name, (check, _, sizes) in PLANTS.items():
        for number in sizes if only in name else ():
            found = list(pool.map(partial(caught, name, number), range(sets or 200)))
            print(f"| {name} ({check}) | {number:,} | {rate(found)} |", flush=True)


def caught(name: str, number: int, seed: int) -> bool:
    """Whether a plant is found in one data set, by its check or, as before there was one, by the shortcuts."""
    check, plant, _ = PLANTS[name]
    return bool({check, "shortcuts"} & set(warned(simulate(number, seed, spread=60, plant=plant))))


def rate(found: list[bool]) -> str:
    """Number, share and its interval."""
    number, hits = len(found), sum(found)
    low = beta.ppf(0.025, hits, number - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, number - hits) if hits < number else 1.0
    return f"{number} | {hits / number:.3f} | {low:.3f} to {high:.3f}"


def warned(table: pd.DataFrame) -> list[str]:
    """The checks of `JUDGED` that do not pass."""
    tables = {split: part.drop(columns="split").reset_index(drop=True) for split, part in table.groupby("split")}
    tables = {split: tables.get(split, table.head(0)) for split in SPLITS}
    result = audit(subject(truth=truth_column(table)), tables, leakage(tables), {})
    return [check["name"] for check in result["checks"] if check["name"] in JUDGED and check["status"] != "pass"]


if __name__ == "__main__":
    main()
