"""Evaluate a run's predictions: metrics with confidence intervals, calibration, a fixed threshold, and prevalence.

The records' groups are read from the data set's tables.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import EvaluateSettings


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, EvaluateSettings)
    arguments.add_argument("--predictions", type=Path, required=True, help="a run's predictions.parquet")
    arguments.add_argument("--data", type=Path, required=True, help="folder of the tables that are scored")
    arguments.add_argument("--output", type=Path, required=True, help="metrics (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.statistics.clusters import match, read_clusters
    from dnalm.evaluation.statistics.run_metrics import evaluate
    from dnalm.files import write_json
    from dnalm.tables.predictions import read_predictions

    predictions = read_predictions(args.predictions)
    groups = {}
    for split, scored in predictions.items():
        table = read_clusters(args.data / f"{split}.parquet")
        rows = match(scored, table, f"{args.predictions}: {split}")
        groups[split] = table["group"].to_numpy(dtype=str)[rows]
    write_json(args.output, evaluate(predictions, groups, args.settings))


if __name__ == "__main__":
    main(run)
