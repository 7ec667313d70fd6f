"""Write the model card of a run: README.md with Hugging Face metadata and the same figures as the report."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import ModelCardSettings


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, ModelCardSettings)
    arguments.add_argument("--results", type=Path, required=True, help="folder of the data sets' results")
    arguments.add_argument("--output", type=Path, required=True, help="the card (Markdown)")
    arguments.add_argument("--model", type=Path, help="the model's directory, for a copy: hubs expect the card there")
    args = arguments.parse_args()

    from dnalm.evaluation.report.modelcard import model_card
    from dnalm.evaluation.report.results import read_dataset
    from dnalm.files import atomic

    settings: ModelCardSettings = args.settings
    dataset = read_dataset(args.results, settings.run.dataset, settings.dataset, [settings.run])
    card = model_card(dataset, settings.checkpoint, settings.confidence)
    places = [args.model / "README.md"] if args.model else []
    for path in [*places, args.output]:
        with atomic(path) as temporary:
            temporary.write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main(run)
