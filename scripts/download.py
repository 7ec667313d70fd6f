"""Download a file over http, https or ftp; resumed where it broke, checked, and whole or not there."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import DownloadSettings


def run() -> None:
    """Fetch what the settings name."""
    arguments = parser(__doc__, DownloadSettings)
    arguments.add_argument("--output", type=Path, required=True, help="where the file shall be")
    given = arguments.parse_args()

    from dnalm.data.downloads import download

    settings = given.settings
    download(settings.url, given.output, sha256=settings.sha256, md5=settings.md5)


if __name__ == "__main__":
    main(run)
