"""Compare a data set's models with its best baseline: difference of MCC, its interval, p value, and strata.

The settings hold `dataset`, its `kind`, `runs` (a list of {dataset, model, recipe, seed}), `evaluation` of the config, and
two limits of the data set's audit, `effective_groups` and `largest_group`.
"""

from pathlib import Path
from typing import Any

from dnalm.cli import main, parser


def run() -> None:
    """Command line."""
    arguments = parser(__doc__)
    arguments.add_argument("--results", type=Path, required=True, help="folder of the data sets' results")
    arguments.add_argument("--output", type=Path, required=True, help="comparison (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.report.summary import run_directory
    from dnalm.evaluation.statistics.clusters import read_clusters
    from dnalm.evaluation.statistics.comparison import RunGroup, compare
    from dnalm.files import write_json
    from dnalm.tables.predictions import read_predictions

    spec = args.spec
    table = read_clusters(args.results / spec["dataset"] / "data" / "test.parquet")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in spec["runs"]:
        predictions = read_predictions(run_directory(args.results, one) / "predictions.parquet")
        groups.setdefault((one["model"], one["recipe"]), []).append(predictions)
    settings = {**spec["evaluation"], **{name: spec[name] for name in ("kind", "effective_groups", "largest_group")}}
    members = [RunGroup(model, recipe, runs) for (model, recipe), runs in groups.items()]
    write_json(args.output, compare(members, table, settings))


if __name__ == "__main__":
    main(run)
