"""Download a file over http, https or ftp; resumed where it broke, checked, and whole or not there."""

from pathlib import Path

from dnalm.cli import main, parser


def run() -> None:
    """Fetch what the spec names."""
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True, help="where the file shall be")
    given = arguments.parse_args()

    from dnalm.data.downloads import download

    download(given.spec["url"], given.output, sha256=given.spec["sha256"], md5=given.spec["md5"])


if __name__ == "__main__":
    main(run)
