"""Audit a data set before training: its labels or targets, duplicates, leaks between splits, shortcuts, tokens, groups.

A failed check is only recorded here; gate.py stops the workflow.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import AuditSettings


def run() -> None:
    """Read the inputs, audit, write the checks."""
    arguments = parser(__doc__, AuditSettings)
    arguments.add_argument("--data", type=Path, required=True, help="folder of train, validation and test.parquet")
    arguments.add_argument("--leakage", type=Path, required=True, help="what compare_splits.py found (JSON)")
    arguments.add_argument(
        "--tokens",
        type=Path,
        nargs="*",
        default=[],
        metavar="JSON",
        help="counts of tokenize_records.py, {model}/{split}.json, with {split}.offsets.npy beside each",
    )
    arguments.add_argument(
        "--pretraining", type=Path, nargs="*", default=[], metavar="JSON", help="what compare_pretraining.py found"
    )
    arguments.add_argument("--output", type=Path, required=True, help="checks and probes (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.audit.checks import Subject
    from dnalm.evaluation.audit.findings import COLUMNS, USED_IF_PRESENT, audit, check_tables
    from dnalm.evaluation.audit.pretraining import pretraining
    from dnalm.evaluation.audit.token_counts import read_token_counts
    from dnalm.files import read_json, read_table, write_json
    from dnalm.names import SPLITS
    from dnalm.tables.sequences import truth_column

    settings: AuditSettings = args.settings
    places = {split: args.data / f"{split}.parquet" for split in SPLITS}
    tables = {split: read_table(place) for split, place in places.items()}
    check_tables(tables, places)
    truth = truth_column(tables[SPLITS[0]])
    wanted = [*COLUMNS, truth, *USED_IF_PRESENT]
    tables = {split: table[[name for name in wanted if name in table]] for split, table in tables.items()}
    tokens = read_token_counts(args.tokens, settings.models, {split: len(table) for split, table in tables.items()})
    limits = settings.audit.model_dump()
    subject = Subject(settings.dataset, settings.kind, settings.labels or {}, limits, truth)
    seen = pretraining(subject, settings.pretraining, [read_json(path) for path in args.pretraining])
    write_json(args.output, audit(subject, tables, read_json(args.leakage), tokens, seen))


if __name__ == "__main__":
    main(run)
