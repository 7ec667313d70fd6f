"""Compare a data set's models with its best baseline: difference of MCC, its interval, p value, and strata."""

from pathlib import Path
from typing import Any

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import CompareSettings


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, CompareSettings)
    arguments.add_argument("--results", type=Path, required=True, help="folder of the data sets' results")
    arguments.add_argument("--looks", type=Path, required=True, help="the plan, and the looks before this one (JSON)")
    arguments.add_argument("--output", type=Path, required=True, help="comparison (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.statistics.clusters import read_clusters
    from dnalm.evaluation.statistics.comparison import RunGroup, compare
    from dnalm.files import read_json, write_json
    from dnalm.tables.predictions import read_predictions

    settings: CompareSettings = args.settings
    table = read_clusters(args.results / settings.dataset / "data" / "test.parquet")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in settings.runs:
        predictions = read_predictions(args.results / one.folder / "predictions.parquet")
        groups.setdefault((one.model, one.recipe), []).append(predictions)
    members = [RunGroup(model, recipe, runs) for (model, recipe), runs in groups.items()]
    write_json(args.output, compare(members, table, settings) | {"plan": read_json(args.looks)})


if __name__ == "__main__":
    main(run)
