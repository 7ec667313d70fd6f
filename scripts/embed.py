"""Embed the records of a split: pooled hidden states of a model, for all probes and embeddings that read them."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import EmbedSettings
from dnalm.errors import UserError


def run() -> None:
    """Read the command line, embed, write."""
    options = parser(__doc__, EmbedSettings)
    options.add_argument("--table", type=Path, required=True, metavar="PARQUET", help="the split's records")
    options.add_argument("--tokens", type=Path, required=True, metavar="DIR", help="directory of its tokens")
    options.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="the tokenizer")
    options.add_argument("--checkpoint", type=Path, metavar="DIR", help="the checkpoint; not with an architecture")
    options.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    options.add_argument("--vectors", type=Path, required=True, metavar="NPY", help="the vectors, float32")
    options.add_argument("--record", type=Path, required=True, metavar="JSON", help="what they are, and counts")
    args = options.parse_args()
    settings: EmbedSettings = args.settings
    if (args.checkpoint is None) == (settings.architecture is None):
        raise UserError("--checkpoint: needed if the settings have no architecture, and not allowed if they have one")

    from dnalm.training.embedding_files import embed_split
    from dnalm.training.runtime.lease import lease

    with lease(0 if args.device in ("cpu", "mps") else 1):
        embed_split(
            settings,
            args.table,
            args.tokens,
            args.tokenizer,
            args.checkpoint,
            args.device,
            args.vectors,
            args.record,
        )


if __name__ == "__main__":
    main(run)
