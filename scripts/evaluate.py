"""Score a run's predictions: accuracy, MCC, macro averages, AUROC, AUPRC, confusion matrix; test, and validation."""

from pathlib import Path

from dnalm.cli import main, parser


def run() -> None:
    """Command line."""
    arguments = parser(__doc__)
    arguments.add_argument("--predictions", type=Path, required=True, help="a run's predictions.parquet")
    arguments.add_argument("--output", type=Path, required=True, help="metrics (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.metrics import evaluate
    from dnalm.evaluation.predictions import read_predictions
    from dnalm.files import write_json

    write_json(args.output, evaluate(read_predictions(args.predictions)))


if __name__ == "__main__":
    main(run)
