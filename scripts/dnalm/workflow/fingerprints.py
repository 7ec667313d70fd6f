"""Fingerprints of the user's own input files, as text that Snakemake compares.

Snakemake itself goes by modification times: it re-runs for a touched file, and misses a new file with an old date. So
the rules that read a user's files take them as `ancient`, and have their SHA-256 among the params.
"""

import json
from functools import cache

from dnalm.files import sha256
from dnalm.workflow.kept import Kept

UNREADABLE = "unreadable"
"""Instead of a digest, for a file that cannot be read: its job runs, and reports why."""

_KEPT = Kept("fingerprints.json", version="sha256")


@cache
def fingerprints(*paths: str) -> str:
    """The SHA-256 of each file, in the order given, as JSON. A process reads each file once."""
    found = json.dumps([_fingerprint(path) for path in paths])
    _KEPT.save()
    return found


def _fingerprint(path: str) -> str:
    try:
        return str(_KEPT.fact(path, lambda: sha256(path)))
    except OSError:
        return UNREADABLE
