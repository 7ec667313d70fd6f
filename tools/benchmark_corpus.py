"""Measure time and memory of making a corpus: cutting a genome into windows, tokenizing them, auditing them.

Genomes of several sizes are simulated from a fixed seed in a temporary directory: random bases, a third of them
soft-masked, some N. window_corpus.py, tokenize_records.py and audit_corpus.py are run on each as in the workflow, each
in its own process. Part `tokenize_100k` is a sample of 100,000 windows of 200 bases. The output is JSON: machine,
versions, and for each size and part the wall-clock and processor seconds, the largest peak resident memory of its
processes (GiB), and the processor hours that a genome of 3.1 Gb takes at the same rate (the wall-clock time is less if
several processes tokenize, and more on a busy machine). Peak memory should not grow with the genome.
"""

import library  # noqa: I001

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from dnalm.cli import main
from dnalm.errors import UserError
from dnalm.files import write_json
from dnalm.machine import machine, measured
from dnalm.provenance import versions

SEED = 1
MODEL = "simulated"
WINDOW = 200
HUMAN = 3.1e9
VOCABULARY = 609
FEW = 100_000
TARGET = {"gib_at_most": 2, "seconds_of_100k_at_most": 20}
SCRIPTS = library.ROOT / "scripts"


def run() -> None:
    """Read the command line, simulate, measure, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument(
        "--megabases", type=int, nargs="+", default=[25, 100], metavar="N", help="sizes of genomes (default 25 and 100)"
    )
    options.add_argument("--threads", type=int, default=2, metavar="N", help="processes that tokenize (default 2)")
    args = options.parse_args()
    if min(args.megabases) < 1:
        raise UserError(f"--megabases: {min(args.megabases)} is too small; use at least 1")
    sizes = {}
    with tempfile.TemporaryDirectory() as name:
        for megabases in sorted(args.megabases):
            sizes[str(megabases)] = measure(Path(name), Path(name) / str(megabases), megabases, args.threads)
    largest = sizes[str(max(args.megabases))]
    gib = max(part["gib"] for size in sizes.values() for part in size.values())
    seconds = largest["tokenize_100k"]["seconds"]
    reached = gib <= TARGET["gib_at_most"] and seconds <= TARGET["seconds_of_100k_at_most"]
    report = {
        "command": shlex.join(["python", "tools/benchmark_corpus.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "window": WINDOW,
        "vocabulary": VOCABULARY,
        "threads": args.threads,
        "seed": SEED,
        "megabases": sizes,
        "target": {**TARGET, "reached": reached},
    }
    write_json(args.output, report)


def measure(place: Path, folder: Path, megabases: int, threads: int) -> dict[str, Any]:
    """Simulate a genome and measure each part; `place` is where the tokenizer of the smallest genome is."""
    from dnalm.config.audits import Audit
    from dnalm.config.stages.evaluation import AuditSettings
    from dnalm.config.stages.training import TokenizeSettings
    from dnalm.names import SPLITS

    print(f"simulating {megabases} Mb", file=sys.stderr)
    bases = megabases * 1_000_000
    simulate(folder / "genome.fa.gz", bases)
    audit = AuditSettings(
        dataset="simulated", kind="corpus", audit=Audit(fail_on=[]), labels=None, models={MODEL: None}
    ).model_dump(mode="json")
    tokenized = TokenizeSettings(reverse_complement=False).model_dump(mode="json")
    parts = {
        "window": part(window(folder, "data", None), bases),
        "window_sampled": part(window(folder, "few", FEW), bases),
    }
    if not (place / "tokenizer").is_dir():  # trained on a bounded sample, so once is enough
        parts["train_tokenizer"] = part(tokenizer(folder, place), None)
    timed = [part(tokens(folder, "data", split, threads, tokenized), bases) for split in SPLITS]
    parts["tokenize"] = {
        "gib": max(one["gib"] for one in timed),
        **{key: round(sum(one[key] for one in timed), 2) for key in timed[0] if key != "gib"},
    }
    parts["tokenize_100k"] = part(tokens(folder, "few", "train", threads, tokenized), None)
    counts = [str(folder / "tokens/data" / MODEL / f"{split}.json") for split in SPLITS]
    command = ["--data", str(folder / "data"), "--tokens", *counts, "--output", str(folder / "audit.json")]
    parts["audit"] = part(([str(SCRIPTS / "audit_corpus.py"), "--spec", "-", *command], audit), bases)
    return parts


def part(command: tuple[list[str], dict[str, Any]], bases: int | None) -> dict[str, float]:
    """What one process used."""
    print(f"measuring {Path(command[0][0]).name}", file=sys.stderr)
    used = measured(*command)
    figures = {
        "seconds": round(used.seconds, 1),
        "processor_seconds": round(used.processor_seconds, 1),
        "gib": round(used.memory / 2**30, 3),
    }
    if bases is not None:
        figures["processor_hours_of_3.1_Gb"] = round(used.processor_seconds * HUMAN / bases / 3600, 2)
    return figures


def window(folder: Path, name: str, most: int | None) -> tuple[list[str], dict[str, Any]]:
    """The command that cuts the genome, with at most so many training windows."""
    from dnalm.config.corpora import CorpusSplitting
    from dnalm.config.stages.data import WindowCorpusSettings

    settings = WindowCorpusSettings(
        genomes=["simulated"],
        sequence_column="sequence",
        window=WINDOW,
        stride=WINDOW,
        max_unknown=0,
        max_soft_masked=1,
        both_strands=False,
        split=CorpusSplitting(),
        caps={"train": most, "validation": most and 1000, "test": most and 1000},
    )
    outputs = [word for split in settings.caps for word in (f"--{split}", str(folder / name / f"{split}.parquet"))]
    words = ["--genomes", str(folder / "genome.fa.gz"), *outputs, "--manifest", str(folder / name / "manifest.json")]
    return [str(SCRIPTS / "window_corpus.py"), "--spec", "-", *words], settings.model_dump(mode="json")


def tokenizer(folder: Path, place: Path) -> tuple[list[str], dict[str, Any]]:
    """The command that trains a byte-pair encoding."""
    from dnalm.config.models import Tokenizer

    words = ["--train", str(folder / "data/train.parquet"), "--output-dir", str(place / "tokenizer")]
    settings = Tokenizer(train="bpe", vocabulary=VOCABULARY).model_dump(mode="json")
    return [str(SCRIPTS / "train_tokenizer.py"), "--spec", "-", *words], settings


def tokens(
    folder: Path, name: str, split: str, threads: int, settings: dict[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The command that tokenizes a split."""
    place = folder / "tokens" / name / MODEL
    words = ["--tokenizer", str(folder.parent / "tokenizer"), "--threads", str(threads)]
    words += ["--table", str(folder / name / f"{split}.parquet"), "--counts", str(place / f"{split}.json")]
    for option, part in (("ids", "ids"), ("offsets", "offsets"), ("soft-masked", "soft_masked")):
        words += [f"--{option}", str(place / f"{split}.{part}.npy")]
    return [str(SCRIPTS / "tokenize_records.py"), "--spec", "-", *words], settings


def simulate(path: Path, bases: int) -> None:
    """Write an indexed genome of four chromosomes: runs of about 300 bases, soft-masked or not, and runs of N."""
    import numpy as np

    from dnalm.data.genomes import FastaWriter, index_fasta

    rng = np.random.default_rng(SEED)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FastaWriter(path) as writer:
        for chromosome in range(4):
            writer.start(f"chr{chromosome + 1}")
            for _ in range(0, bases // 4, 1_000_000):
                letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, 1_000_000)]
                lower = np.repeat(rng.random(3334) < 1 / 3, 300)[:1_000_000]
                letters = letters | lower.view(np.uint8) << np.uint8(5)
                letters[:20_000] = ord("N")
                writer.write(letters.tobytes())
    index_fasta(path, path.with_name("genome.fa.gz.fai"), path.with_name("genome.fa.gz.gzi"))


if __name__ == "__main__":
    main(run)
