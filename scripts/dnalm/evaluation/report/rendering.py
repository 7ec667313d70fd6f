"""Templates to HTML: escaped, and each page with a policy that forbids every request."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from dnalm.evaluation.report.table_links import as_file

TEMPLATES = Path(__file__).parent / "templates"


def as_html(template: str, **values: Any) -> str:
    """The page that `{template}.html.j2` makes of `values`; text is escaped, our own CSS and script are not."""
    script = (TEMPLATES / "report.js").read_text()
    return (
        _environment()
        .get_template(f"{template}.html.j2")
        .render(
            css=Markup((TEMPLATES / "report.css").read_text()),  # noqa: S704  (ours)
            script=Markup(script),  # noqa: S704  (ours)
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            **values,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"code": code, "file": as_file}
    return environment


def code(text: str) -> Markup:
    """Escaped text, with text between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )
