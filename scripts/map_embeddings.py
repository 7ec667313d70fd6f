"""Draw the map of an embedding: two coordinates of each record, by the last layer and first pooling it asks for."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import MapEmbeddingsSettings


def run() -> None:
    """Read the command line, place the records, write."""
    options = parser(__doc__, MapEmbeddingsSettings)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="directory of the splits' tables")
    options.add_argument("--vectors", type=Path, required=True, metavar="DIR", help="directory of the embedding")
    options.add_argument("--output", type=Path, required=True, metavar="TSV", help="id, split, label or target, x, y")
    options.add_argument("--record", type=Path, required=True, metavar="JSON", help="how it was drawn")
    args = options.parse_args()

    import pyarrow.parquet as pq

    from dnalm.files import read_table, write_json, write_tsv
    from dnalm.names import LABEL, TARGET
    from dnalm.training.embedding_files import read_vectors
    from dnalm.training.maps import map_table

    settings: MapEmbeddingsSettings = args.settings
    stored = [read_vectors(args.vectors / split) for split in settings.splits]
    layer, pooling = stored[0].facts["layers"][-1], stored[0].facts["poolings"][0]
    tables = []
    for split in settings.splits:
        path = args.data / f"{split}.parquet"
        truth = [name for name in (LABEL, TARGET) if name in pq.read_schema(path).names]
        ids = pq.read_table(args.vectors / f"{split}.parquet", columns=["id"])["id"].to_pandas()
        table = read_table(path, ["id", *truth])
        tables.append(table if len(ids) == len(table) else table[table["id"].isin(set(ids))])
    drawn, facts = map_table([one.column(layer, pooling) for one in stored], tables, settings.splits, settings.map)
    write_tsv(args.output, drawn, float_format="%.6g")
    column = f"{pooling}_layer{layer}"
    own = settings.model_dump(mode="json")
    counts = {split: one.facts["counts"] for split, one in zip(settings.splits, stored, strict=True)}
    write_json(args.record, own | facts | {"column": column, "counts": counts, "hidden": stored[0].facts["hidden"]})


if __name__ == "__main__":
    main(run)
