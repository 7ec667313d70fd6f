"""Write an embedding of the config: its layers and poolings of the stored vectors of a split, with ids."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import SelectEmbeddingsSettings


def run() -> None:
    """Read the command line, select, write."""
    options = parser(__doc__, SelectEmbeddingsSettings)
    options.add_argument("--table", type=Path, required=True, metavar="PARQUET", help="the split's records")
    options.add_argument("--vectors", type=Path, required=True, metavar="NPY", help="stored vectors, with a .json")
    options.add_argument("--output", type=Path, required=True, metavar="NPY", help="records, layers, poolings, hidden")
    options.add_argument("--parquet", type=Path, required=True, help="id, and a list column {pooling}_layer{n} each")
    options.add_argument("--record", type=Path, required=True, metavar="JSON", help="what they are, and counts")
    args = options.parse_args()

    from dnalm.files import write_json
    from dnalm.provenance import record
    from dnalm.training.embedding_files import read_vectors, select

    settings: SelectEmbeddingsSettings = args.settings
    stored = read_vectors(args.vectors.with_suffix(""))
    facts = select(stored, args.table, settings.layers, settings.pooling, args.output, args.parquet)
    write_json(args.record, record(settings.model_dump(mode="json"), **facts))


if __name__ == "__main__":
    main(run)
