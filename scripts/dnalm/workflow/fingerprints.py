"""What a user's own input files hold, as text that Snakemake compares: a touched or copied file is the same one.

By itself Snakemake goes by a file's date, and passes over a file that was put there with an old one. So the rules that
read a user's files take them as `ancient`, and have their SHA-256 among the params.
"""

import json
from functools import cache

from dnalm.files import sha256
from dnalm.workflow.kept import Kept

UNREADABLE = "unreadable"
"""In the place of a digest, where a file cannot be read: its job runs, and says why."""

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
