"""Fit a baseline on a data set's train split, choose its settings on validation, and score validation and test."""

import time
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import BaselineSettings


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, BaselineSettings)
    arguments.add_argument("--data", type=Path, required=True, help="folder of train, validation and test.parquet")
    arguments.add_argument("--calls", type=Path, nargs="*", help="for trf: what it calls in records, and background")
    arguments.add_argument("--output", type=Path, required=True, help="predictions (parquet)")
    arguments.add_argument("--run", type=Path, required=True, help="what made them (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.baselines.corpora import fit_corpus_baseline
    from dnalm.evaluation.baselines.reference import with_calls
    from dnalm.evaluation.baselines.simple import fit_baseline
    from dnalm.files import sha256, write_json
    from dnalm.names import BASELINES, SEQUENCE, scored_splits
    from dnalm.provenance import record
    from dnalm.tables.predictions import write_predictions
    from dnalm.tables.sequences import read_records

    began = time.perf_counter()
    settings: BaselineSettings = args.settings
    splits = ("train", *scored_splits(settings.background))
    paths = {split: args.data / f"{split}.parquet" for split in splits}
    if settings.name in BASELINES[SEQUENCE]:
        outcome = fit_corpus_baseline(settings.name, args.data, settings.most_settings)
    else:
        tables = {split: read_records(path, ["id", "sequence"]) for split, path in paths.items()}
        if args.calls:
            tables = with_calls(tables, *args.calls)
        outcome = fit_baseline(settings.name, tables, settings.most_settings)
    write_predictions(args.output, outcome.predictions)
    seconds = round(time.perf_counter() - began, 1)
    data = {split: sha256(path) for split, path in paths.items()}
    write_json(
        args.run,
        record(
            settings.model_dump(mode="json"),
            device="cpu",
            seconds=seconds,
            data_sha256=data,
            baseline=outcome.record,
        ),
    )


if __name__ == "__main__":
    main(run)
