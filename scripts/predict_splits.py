"""Score the validation and test records with a finished model.

The output holds id, split, label and the probability of each class.
"""

import argparse
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import PredictSplitsSettings
from dnalm.files import read_table, write_json, write_table
from dnalm.names import scored_splits


def run() -> None:
    """Read the command line, score, write."""
    options = parser(__doc__, PredictSplitsSettings)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="directory of the splits' tables")
    options.add_argument("--tokens", type=Path, required=True, metavar="DIR", help="directory of their tokens")
    options.add_argument("--model", type=Path, required=True, metavar="DIR", help="a finished model")
    options.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    options.add_argument("--output", type=Path, required=True, metavar="PARQUET", help="predictions")
    options.add_argument(
        "--counts", type=Path, required=True, metavar="JSON", help="records overlong, dropped, windows"
    )
    args = options.parse_args()

    from dnalm.training.runtime.lease import lease

    with lease(0 if args.device in ("cpu", "mps") else 1):
        score(args)


def score(args: argparse.Namespace) -> None:
    """Score the splits and write."""
    import pandas as pd

    from dnalm.tables.tokens import read_tokens
    from dnalm.training.models.finished import Classifier

    settings: PredictSplitsSettings = args.settings
    classifier = Classifier.open(args.model, args.device, settings.max_tokens, settings.trust_remote_code)
    parts, counts = [], {}
    for split in scored_splits(settings.background):
        table = read_table(args.data / f"{split}.parquet", columns=["id", "label"])
        scores, windows = classifier.score(
            read_tokens(args.tokens, split), table["id"].tolist(), settings.overlong, what=split
        )
        counts[split] = windows.counts()
        part = table.iloc[windows.kept].reset_index(drop=True)
        part.insert(1, "split", split)
        columns = {f"score_{i}": scores[:, i] for i in range(scores.shape[1])}
        parts.append(pd.concat([part, pd.DataFrame(columns)], axis=1))
    write_table(args.output, pd.concat(parts, ignore_index=True))
    write_json(args.counts, counts)


if __name__ == "__main__":
    main(run)
