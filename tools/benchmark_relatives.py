"""Measure the search for similar sequences beside MMseqs2 and BLASTN.

Sequences in families of four are simulated from a fixed seed: each base of a member differs from its ancestor's with
probability .1, so that two members are about 82 % identical. Each program searches all of them against all. The output
is JSON: seconds of each, how many of the true pairs it found, how many pairs of different families it reports, and the
ratio of our seconds to its. A program that is not installed, or takes longer than --minutes, is named as such. MMseqs2
and BLASTN use all cores, ours one.
"""

import library  # noqa: F401, I001

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dnalm.cli import main
from dnalm.config.datasets import Related
from dnalm.data.homology import similar_sequences
from dnalm.files import write_json
from dnalm.machine import machine
from dnalm.provenance import versions
from dnalm.sequence.kmers import decode

SEED, LENGTH, FAMILY, CHANGED = 1, 130, 4, 0.1
RELATED = Related()
PROGRAMS = {
    "mmseqs": (
        "mmseqs2",
        [
            "mmseqs easy-search s.fa s.fa hits work --search-type 3 --strand 2 -e 0.01 --threads {threads}"
            " --format-output query,target,pident,alnlen"
        ],
    ),
    "blastn": (
        "ncbi-blast+",
        [
            "makeblastdb -in s.fa -dbtype nucl -out db",
            "blastn -task blastn -query s.fa -db db -evalue 0.01 -max_target_seqs 50 -num_threads {threads}"
            " -outfmt '6 qseqid sseqid pident length' -out hits",
        ],
    ),
}
"""Of each program: its Debian package, and its commands in a folder with s.fa."""


def run() -> None:
    """Read the command line, simulate, measure, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--sequences", type=int, default=460_000, metavar="N", help="sequences (default 460,000)")
    options.add_argument("--minutes", type=float, default=60, help="limit of each other program (default 60)")
    args = options.parse_args()

    sequences = simulate(args.sequences)
    began = time.perf_counter()
    left, right, _ = similar_sequences(sequences, RELATED)
    ours = {**judged(zip(left.tolist(), right.tolist(), strict=True)), "seconds": round(time.perf_counter() - began, 1)}
    others = {name: other(name, sequences, args.minutes) for name in PROGRAMS}
    for figures in others.values():
        if figures.get("seconds"):
            figures["ours_times_its_seconds"] = round(ours["seconds"] / figures["seconds"], 2)
    report = {
        "command": shlex.join(["python", "tools/benchmark_relatives.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "seed": SEED,
        "sequences": len(sequences),
        "true_pairs": len(sequences) // FAMILY * (FAMILY * (FAMILY - 1) // 2),
        "ours": ours,
        **others,
    }
    write_json(args.output, report)


def simulate(number: int) -> list[str]:
    """Sequences in families of `FAMILY` members, which follow one another."""
    random = np.random.default_rng(SEED)
    ancestors = random.integers(0, 4, (number // FAMILY, LENGTH), dtype=np.uint8)
    members = np.repeat(ancestors, FAMILY, axis=0)
    changed = random.random(members.shape) < CHANGED
    members = np.where(changed, (members + random.integers(1, 4, members.shape)) % 4, members).astype(np.uint8)
    text = decode(members.ravel())
    return [text[at : at + LENGTH] for at in range(0, len(text), LENGTH)]


def judged(pairs: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """How many distinct pairs are of one family, and how many of two."""
    distinct = {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}
    found = sum(one // FAMILY == other // FAMILY for one, other in distinct)
    return {"found": found, "wrong": len(distinct) - found}


def other(name: str, sequences: list[str], minutes: float) -> dict[str, Any]:
    """Figures of another program.

    found, wrong: all pairs that it reports; found_as_similar: those whose alignment is as long and as identical as ours
    has to be.
    """
    package, commands = PROGRAMS[name]
    if shutil.which(name) is None:
        return {"skipped": f"{name} is not installed (Debian: apt install {package})"}
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    least, identity = int(RELATED.coverage * LENGTH), 100 * RELATED.identity
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "s.fa").write_text("".join(f">{i}\n{one}\n" for i, one in enumerate(sequences)))
        began = time.perf_counter()
        try:
            for command in commands:
                left = 60 * minutes - (time.perf_counter() - began)
                arguments = shlex.split(command.format(threads=threads))
                subprocess.run(arguments, check=True, cwd=folder, capture_output=True, timeout=left)
        except subprocess.TimeoutExpired:
            return {"skipped": f"took more than {minutes:g} minutes"}
        seconds = round(time.perf_counter() - began, 1)
        hits = [line.split("\t") for line in Path(folder, "hits").read_text().splitlines()]
    every = judged((int(hit[0]), int(hit[1])) for hit in hits)
    strict = judged((int(hit[0]), int(hit[1])) for hit in hits if float(hit[2]) >= identity and int(hit[3]) >= least)
    return {**every, "found_as_similar": strict["found"], "seconds": seconds, "threads": threads}


if __name__ == "__main__":
    main(run)
