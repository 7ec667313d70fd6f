"""Train a small convolutional network on a data set's train split and score validation and test with it.

It is trained on the given strand and on both strands; the network with the higher validation MCC is used.
"""

import argparse
import time
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import BaselineCnnSettings
from dnalm.errors import UserError
from dnalm.files import read_table, sha256, write_json
from dnalm.names import scored_splits
from dnalm.provenance import record


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, BaselineCnnSettings)
    arguments.add_argument("--data", type=Path, required=True, help="folder of train, validation and test.parquet")
    arguments.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    arguments.add_argument("--output", type=Path, required=True, help="predictions (parquet)")
    arguments.add_argument("--run", type=Path, required=True, help="what made them (JSON)")
    args = arguments.parse_args()

    from dnalm.training.runtime.lease import lease

    with lease(0 if args.device in ("cpu", "mps") else 1):
        fit_and_score(args)


def fit_and_score(args: argparse.Namespace) -> None:
    """Train, score, write."""
    began = time.perf_counter()
    from dnalm.tables.predictions import ClassPredictions, write_predictions
    from dnalm.training.cnn import Hyperparameters, Strands, choose
    from dnalm.training.engine.devices import choose_device, describe, make_repeatable

    make_repeatable()
    device = choose_device(args.device)
    scored = scored_splits(args.settings.background)
    paths = {split: args.data / f"{split}.parquet" for split in ("train", *scored)}
    tables = {split: read_table(path, ["id", "sequence", "label"]) for split, path in paths.items()}
    for split, table in tables.items():
        if table.empty:
            raise UserError(f"{paths[split]}: holds no records")
    strands = {s: Strands(table["sequence"].tolist(), table["label"].to_numpy("int64")) for s, table in tables.items()}
    classes = 1 + max(1, *(int(part.labels.max()) for part in strands.values()))
    fitted, account = choose(
        strands["train"],
        strands["validation"],
        classes,
        args.settings.seed,
        device,
        Hyperparameters(),
        args.settings.most_settings,
    )
    predictions = {
        split: ClassPredictions(
            tables[split]["id"].to_numpy(object), strands[split].labels, fitted.scores(strands[split], what=split)
        )
        for split in scored
    }
    write_predictions(args.output, predictions)
    data = {split: sha256(path) for split, path in paths.items()}
    seconds = round(time.perf_counter() - began, 1)
    facts = {"device": describe(device), "seconds": seconds, "data_sha256": data}
    write_json(args.run, record(args.settings.model_dump(mode="json"), **facts, baseline=account))


if __name__ == "__main__":
    main(run)
