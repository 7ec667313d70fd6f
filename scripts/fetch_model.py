"""Fetch a checkpoint from the Hugging Face hub, weights as safetensors.

The directory gets config, tokenizer and weights, and fetched.json with their commit.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import FetchModelSettings
from dnalm.files import atomic_directory


def run() -> None:
    """Read the command line and fetch."""
    options = parser(__doc__, FetchModelSettings)
    options.add_argument("--output", type=Path, required=True, metavar="DIR", help="directory to create")
    args = options.parse_args()

    from dnalm.training.models.hub import fetch

    settings = args.settings
    with atomic_directory(args.output) as directory:
        fetch(settings.checkpoint, settings.revision, directory, settings.trust_remote_code)


if __name__ == "__main__":
    main(run)
