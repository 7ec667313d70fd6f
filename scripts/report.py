"""Write the report: a self-contained HTML page for each data set, and an index of them if there are several.

Data sets are listed in the order of the config's runs.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import ReportSettings


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, ReportSettings)
    arguments.add_argument("--results", type=Path, required=True, help="folder of the data sets' results")
    arguments.add_argument("--output", type=Path, required=True, help="folder of the pages; the first is index.html")
    args = arguments.parse_args()

    from dnalm.evaluation.report.page import render
    from dnalm.evaluation.report.results import read_dataset
    from dnalm.evaluation.report.standings import with_clusters
    from dnalm.files import atomic

    settings: ReportSettings = args.settings
    runs, configs = settings.runs, settings.datasets
    order = dict.fromkeys([*(run.dataset for run in runs), *configs])
    datasets = [read_dataset(args.results, name, configs[name], runs, settings.embeddings) for name in order]
    ranked = {name for _, names in settings.leaderboard for name in names}
    datasets = [with_clusters(one, args.results) if one.name in ranked else one for one in datasets]
    for name, page in render(datasets, settings).items():
        with atomic(args.output / f"{name}.html") as temporary:
            temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(run)
