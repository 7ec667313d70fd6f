"""Write the model card of a run: README.md with Hugging Face metadata, from the numbers that the report shows.

The settings hold `run` ({dataset, model, recipe, seed}), `dataset` (its config), `checkpoint` (the Hugging Face hub id
that the model began from, or null) and `confidence` (level of the intervals).
"""

from pathlib import Path

from dnalm.cli import main, parser


def run() -> None:
    """Command line."""
    arguments = parser(__doc__)
    arguments.add_argument("--results", type=Path, required=True, help="folder of the data sets' results")
    arguments.add_argument("--output", type=Path, required=True, help="the card (Markdown)")
    args = arguments.parse_args()

    from dnalm.evaluation.modelcard import model_card
    from dnalm.evaluation.results import read_dataset
    from dnalm.files import atomic

    spec = args.spec
    dataset = read_dataset(args.results, spec["run"]["dataset"], spec["dataset"], [spec["run"]])
    with atomic(args.output) as temporary:
        temporary.write_text(model_card(dataset, spec["checkpoint"], spec["confidence"]), encoding="utf-8")


if __name__ == "__main__":
    main(run)
