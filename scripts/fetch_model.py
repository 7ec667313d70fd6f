"""Fetch a checkpoint from the Hugging Face hub, weights as safetensors.

Settings: {"checkpoint": "owner/name", "revision": commit, branch or tag, "trust_remote_code": whether its code is fetched
too (it is not run here)}. The directory holds config, tokenizer, weights, and fetched.json, which says which commit they
are.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.files import atomic_directory


def run() -> None:
    """Read the command line and fetch."""
    options = parser(__doc__)
    options.add_argument("--output", type=Path, required=True, metavar="DIR", help="directory to make")
    args = options.parse_args()

    from dnalm.training.models.hub import fetch

    with atomic_directory(args.output) as directory:
        fetch(args.spec["checkpoint"], args.spec["revision"], directory, args.spec.get("trust_remote_code", False))


if __name__ == "__main__":
    main(run)
