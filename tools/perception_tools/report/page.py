"""What every report has in common: one self-contained HTML file, light and dark, with tables of text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from perception.files import whole_file
from perception_tools.machine import describe_machine
from perception_tools.report.theme import css_variables


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says; numbers with three digits, as in `metrics.json`.
        note: Small print below.
        best: Whether it is the lowest of its column.
    """

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A caption, headings, and rows that begin with a heading of their own.

    Attributes:
        id: Id of the HTML element.
        caption: What the numbers are over.
        headings: One a column, the rows' own heading included.
        rows: Heading and cells.
    """

    id: str
    caption: str
    headings: tuple[str, ...]
    rows: list[tuple[str, list[Cell]]]


def write_page(path: Path, template: str, **content: object) -> None:
    """Renders a template that extends `page.html` or `full_window.html` and puts the file in place once it is whole.

    Args:
        path: Its folder is made where it does not exist.
        template: `PACKAGE:NAME`, a file in the package's `templates/`. It may include those of this package.
        content: What the template shows; `Markup` is taken as it is, other text is escaped.
    """
    package, name = template.split(":")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("perception_tools.report")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(name).render(
        machine=describe_machine(),
        light=Markup(css_variables(dark=False)),
        dark=Markup(css_variables(dark=True)),
        **content,
    )
    with whole_file(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
