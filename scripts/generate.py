"""Sample DNA sequences from a finished causal language model, outside the workflow.

Writes FASTA: >generated1 seed=1 end=length (the sequence has all its bases), end=end (the model ended it) or end=limit
(the model's input was full). A sequence is the same for any --number and --batch-size. compare_generated.py compares
them with the sequences that the model was trained on.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from dnalm.cli import main
from dnalm.errors import UserError
from dnalm.files import atomic


def run() -> None:
    """Read the command line, sample, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, required=True, metavar="DIR", help="a finished causal model")
    options.add_argument("--output", type=Path, required=True, metavar="FASTA", help="sequences")
    options.add_argument("--number", type=int, default=100, metavar="N", help="sequences (default 100)")
    options.add_argument("--length", type=int, default=200, metavar="BASES", help="of each, at most (default 200)")
    options.add_argument("--temperature", type=float, default=1.0, metavar="T", help="divides the logits (default 1)")
    options.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K likeliest tokens (0: all)")
    options.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest with this sum")
    options.add_argument("--prefix", default="", metavar="DNA", help="bases that every sequence begins with")
    options.add_argument("--seed", type=int, default=1, metavar="S", help="seed (default 1)")
    options.add_argument("--batch-size", type=int, default=64, metavar="N", help="sequences at a time (default 64)")
    options.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    options.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the model")
    args = options.parse_args()
    for name in ("number", "batch_size"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')}: {getattr(args, name)} is not a positive number")
    if args.output.is_dir():
        raise UserError(f"{args.output}: is a directory; name a file")

    from dnalm.training.generation import ENDS, Generator, Sampling

    sampling = Sampling(args.length, args.temperature, args.top_k, args.top_p, args.prefix.upper(), args.seed)
    sampling.check()
    ends: Counter[str] = Counter()
    with atomic(args.output) as output:  # opened first, so that an output that cannot be written fails early
        generator = Generator(args.model, args.device, args.trust_remote_code)
        with open(output, "w") as stream:
            for number, one in enumerate(generator.sample(args.number, sampling, args.batch_size), start=1):
                stream.write(f">generated{number} seed={args.seed} end={one.end}\n{one.sequence}\n")
                ends[one.end] += 1
    counts = (
        f"{ends[end]} {what}"
        for end, what in zip(ENDS, ("in full length", "ended by the model", "cut short"), strict=True)
    )
    print(f"{args.number} sequences: {', '.join(counts)}", file=sys.stderr)


if __name__ == "__main__":
    main(run)
