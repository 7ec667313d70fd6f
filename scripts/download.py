"""Download a file over http, https or ftp: broken downloads are resumed, checksums verified, the file written whole."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import DownloadSettings


def run() -> None:
    """Download the settings' URL."""
    arguments = parser(__doc__, DownloadSettings)
    arguments.add_argument("--output", type=Path, required=True, help="path of the file")
    given = arguments.parse_args()

    from dnalm.data.downloads import download

    settings = given.settings
    download(settings.url, given.output, sha256=settings.sha256, md5=settings.md5)


if __name__ == "__main__":
    main(run)
