"""Measure the memory of training on a small and on a large data set, for the same number of steps.

Two data sets of random tokens are written to a temporary directory, and the same small BERT is fine-tuned on each by
finetune.py, in its own process. The output is JSON: machine, versions, peak resident memory of each process in MB (10^6
bytes; includes pages of mapped files, which the system can reclaim), and their ratio.
"""

import library  # noqa: I001

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from dnalm.cli import main
from dnalm.errors import UserError
from dnalm.files import read_json, write_json
from dnalm.machine import machine, measured
from dnalm.provenance import versions

BATCH = 40
"""Must divide the sizes, so that `--steps` is an exact fraction of an epoch."""
TOKENS = 64
"""Sequences are truncated to this, so that a randomly long batch does not determine the peak."""
TARGET = 1.1
FINETUNE = library.ROOT / "scripts/finetune.py"


def run() -> None:
    """Read the command line, train twice, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--sizes", nargs=2, type=int, default=[50_000, 500_000], metavar="N", help="sequences of each")
    options.add_argument("--steps", type=int, default=250, metavar="N", help="optimizer steps (default 250)")
    options.add_argument("--device", default="cpu", help="auto, cuda, mps or cpu (default); it's the host's memory")
    args = options.parse_args()
    if any(size % BATCH or size < args.steps * BATCH for size in args.sizes):
        raise UserError(f"--sizes: must be multiples of {BATCH}, and at least {args.steps * BATCH} for these steps")

    peak = {}
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{size} sequences", file=sys.stderr)
            write_data(Path(folder), size)
            peak[str(size)] = fine_tune(Path(folder), size, args.steps, args.device)
    small, large = peak.values()
    report = {
        "command": shlex.join(["python", "tools/benchmark_memory.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "steps": args.steps,
        "batch": BATCH,
        "peak_mb": peak,
        "ratio": round(large / small, 3),
        "target": {"ratio_at_most": TARGET, "reached": large <= TARGET * small},
    }
    write_json(args.output, report)


def write_data(folder: Path, size: int) -> None:
    """Write tables, tokens and a tokenizer for `finetune.py`, with `size` training sequences."""
    import numpy as np
    import pandas as pd

    from dnalm.files import write_table
    from dnalm.training.benchmarks.measurements import VOCABULARY, synthesise
    from dnalm.training.models.tokenizers import train_bpe

    letters = np.random.default_rng(0).choice(list("ACGT"), size=(200, 500))
    train_bpe(("".join(row) for row in letters), VOCABULARY).save_pretrained(folder / "tokenizer")
    for split, records in {"train": size, "validation": 1000}.items():
        _, labels = synthesise(folder / "tokens", records, 0, split)
        ids = [f"{split}-{number}" for number in range(records)]
        (folder / "data").mkdir(exist_ok=True)
        write_table(folder / "data" / f"{split}.parquet", pd.DataFrame({"id": ids, "label": labels}))


def fine_tune(folder: Path, size: int, steps: int, device: str) -> float:
    """Train for `steps` in a new process; return its peak resident memory in MB."""
    from dnalm.training.benchmarks.measurements import BERT_SMALL

    recipe = {"batch_size": BATCH, "epochs": steps * BATCH / size, "overlong": "truncate"}
    spec = {"recipe": recipe, "seed": 1, "architecture": BERT_SMALL, "checkpoint": None, "max_tokens": TOKENS}
    places = [
        arg for name in ("data", "tokens", "tokenizer", "model", "scratch") for arg in (f"--{name}", str(folder / name))
    ]
    outputs = ["--training-log", str(folder / "log.tsv"), "--record", str(folder / "run.json")]
    command = [str(FINETUNE), "--spec", "-", *places, *outputs, "--device", device]
    used = measured(command, {**spec, "labels": None})
    done = read_json(folder / "run.json")["steps"]
    if done != steps:
        raise UserError(f"{done} steps were trained on {size} sequences instead of {steps}: nothing to compare")
    return round(used.memory / 1e6, 1)


if __name__ == "__main__":
    main(run)
