"""Write docs/rules.md and docs/rerun-matrix.md from Snakemake's dry runs; --check only compares."""

import library  # noqa: F401, I001

import argparse
import sys

from dnalm.files import atomic
from planning import matrix, rules
from planning.plans import ROOT


def run() -> None:
    """Write the two files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    check = parser.parse_args().check
    files = {
        ROOT / "docs/rules.md": rules.document(),
        ROOT / "docs/rerun-matrix.md": matrix.document(list(rules.bodies())),
    }
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"error: {path.relative_to(ROOT)} is out of date with the Snakefile; run make docs", file=sys.stderr)
        else:
            with atomic(path) as temporary:
                temporary.write_text(files[path])
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    run()
