"""Score the validation and test records with a finished model.

The output has id and split, and label and the probability of each class, or target and prediction, or for a language
model the bases that were scored and their bits, and the soft-masked part of both.
"""

import argparse
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import PredictSplitsSettings
from dnalm.files import read_table, write_json
from dnalm.names import SEQUENCE, TRUTH, scored_splits


def run() -> None:
    """Read the command line, score, write."""
    options = parser(__doc__, PredictSplitsSettings)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="directory of the splits' tables")
    options.add_argument("--tokens", type=Path, required=True, metavar="DIR", help="directory of their tokens")
    options.add_argument("--model", type=Path, required=True, metavar="DIR", help="a finished model")
    options.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    options.add_argument("--output", type=Path, required=True, metavar="PARQUET", help="predictions")
    options.add_argument(
        "--counts",
        type=Path,
        required=True,
        metavar="JSON",
        help="numbers of records, overlong and dropped ones, and windows",
    )
    args = options.parse_args()

    from dnalm.training.runtime.lease import lease

    with lease(0 if args.device in ("cpu", "mps") else 1):
        score(args)


def score(args: argparse.Namespace) -> None:
    """Score the splits and write."""
    from dnalm.tables.predictions import write_predictions
    from dnalm.tables.tokens import read_tokens
    from dnalm.training.engine.records import letters
    from dnalm.training.objectives.language import spelt
    from dnalm.training.prediction import FinishedModel

    settings: PredictSplitsSettings = args.settings
    model = FinishedModel.open(args.model, args.device, settings.max_tokens, settings.trust_remote_code)
    column = TRUTH[model.objective.name]
    predictions, counts = {}, {}
    for split in scored_splits(settings.background):
        path = args.data / f"{split}.parquet"
        table = read_table(path, columns=["id"] if column == SEQUENCE else ["id", column])
        tokens = read_tokens(args.tokens, split)
        scores, windows = model.score(tokens, table["id"].tolist(), settings.overlong, what=split)
        counts[split] = windows.counts()
        kept = table.iloc[windows.kept]
        truth = None if column == SEQUENCE else kept[column].to_numpy()
        predictions[split] = model.objective.predictions(kept["id"].to_numpy(object), truth, scores)
        if column == SEQUENCE:
            counts[split]["unscored_bases"] = letters(path) - int(spelt(scores))
    write_predictions(args.output, predictions)
    write_json(args.counts, counts)


if __name__ == "__main__":
    main(run)
