"""Fetch a checkpoint from the Hugging Face hub, at a fixed commit, weights as safetensors.

Settings: {"checkpoint": "owner/name", "revision": commit}. The directory holds config, tokenizer and weights.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.files import atomic_directory


def run() -> None:
    """Read the command line and fetch."""
    options = parser(__doc__)
    options.add_argument("--output", type=Path, required=True, metavar="DIR", help="directory to make")
    args = options.parse_args()

    from dnalm.training.hub import fetch

    with atomic_directory(args.output) as directory:
        fetch(args.spec["checkpoint"], args.spec["revision"], directory)


if __name__ == "__main__":
    main(run)
