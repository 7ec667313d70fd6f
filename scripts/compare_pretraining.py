"""Look for a data set's validation and test records in the corpus that a model on it was pre-trained on."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import ComparePretrainingSettings


def run() -> None:
    """Read the records and, as a stream, the corpus; write the counts."""
    arguments = parser(__doc__, ComparePretrainingSettings)
    arguments.add_argument("--data", type=Path, required=True, help="folder of validation.parquet and test.parquet")
    arguments.add_argument("--corpus", type=Path, required=True, help="training split of the corpus (parquet)")
    arguments.add_argument("--output", type=Path, required=True, help="counts (JSON)")
    args = arguments.parse_args()

    from dnalm.data.pretraining import compare_pretraining
    from dnalm.files import write_json

    write_json(args.output, compare_pretraining(args.data, args.corpus, args.settings))


if __name__ == "__main__":
    main(run)
