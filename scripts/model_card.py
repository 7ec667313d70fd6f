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
    arguments.add_argument(
        "--model", type=Path, help="the model's directory, which gets a copy: hubs look for it there"
    )
    args = arguments.parse_args()

    from dnalm.evaluation.report.modelcard import model_card
    from dnalm.evaluation.report.results import read_dataset
    from dnalm.files import atomic

    spec = args.spec
    dataset = read_dataset(args.results, spec["run"]["dataset"], spec["dataset"], [spec["run"]])
    card = model_card(dataset, spec["checkpoint"], spec["confidence"])
    places = [args.model / "README.md"] if args.model else []
    for path in [*places, args.output]:
        with atomic(path) as temporary:
            temporary.write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main(run)
