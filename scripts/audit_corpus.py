"""Audit a corpus before training: what test shares with train, unknown tokens, sizes, stretches.

A failed check is only recorded here; gate.py stops the workflow.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import AuditSettings


def run() -> None:
    """Read the tables as a stream, audit, write the checks."""
    arguments = parser(__doc__, AuditSettings)
    arguments.add_argument("--data", type=Path, required=True, help="folder of train, validation and test.parquet")
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
    arguments.add_argument("--output", type=Path, required=True, help="checks (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.audit.checks import Subject
    from dnalm.evaluation.audit.corpora import audit_corpus, examine
    from dnalm.evaluation.audit.pretraining import pretraining
    from dnalm.evaluation.audit.token_counts import read_token_counts
    from dnalm.files import read_json, write_json
    from dnalm.names import SEQUENCE

    settings: AuditSettings = args.settings
    facts = examine(args.data)
    tokens = read_token_counts(args.tokens, settings.models, facts.records)
    subject = Subject(settings.dataset, settings.kind, {}, settings.audit.model_dump(), SEQUENCE)
    seen = pretraining(subject, settings.pretraining, [read_json(path) for path in args.pretraining])
    write_json(args.output, audit_corpus(subject, facts, tokens, seen))


if __name__ == "__main__":
    main(run)
