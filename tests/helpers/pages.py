"""A report's page as a test reads it."""

import re
from html.parser import HTMLParser

from dnalm.config.stages.evaluation import ReportSettings
from dnalm.evaluation.report.page import render
from dnalm.evaluation.report.results import Dataset


def pages_of(datasets: list[Dataset], variants: dict | None = None, ladder: list[str] | None = None) -> dict[str, str]:
    """The report's pages for these data sets."""
    settings = ReportSettings(
        runs=[], datasets={}, confidence=0.95, config={}, variants=variants or {}, ladder=ladder or []
    )
    return render(datasets, settings)


class Checker(HTMLParser):
    """Collects ids, text and resources, and fails on a tag that is not closed in order."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.files: dict[str, str] = {}
        self.text: list[str] = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        assert tag not in ("link", "iframe", "img", "object", "use", "image", "form", "base")
        assert not any(name.startswith("on") for name in values)
        if "download" in values:
            assert values["download"] not in self.files, "two files of one name"
            self.files[values["download"]] = values.pop("href")
        self.ids += [values["id"]] if "id" in values else []
        self.references += [values[name] for name in ("href", "src", "xlink:href") if name in values]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for value in values.values()))
        self.references += [f"#{key}" for key in (values.get("aria-labelledby") or "").split()]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker
