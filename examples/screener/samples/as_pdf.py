"""Résumés as PDF files."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from reportlab import rl_config  # type: ignore[import-untyped]
from reportlab.lib.colors import Color, HexColor  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.styles import ParagraphStyle  # type: ignore[import-untyped]
from reportlab.lib.units import cm  # type: ignore[import-untyped]
from reportlab.pdfbase import pdfmetrics  # type: ignore[import-untyped]
from reportlab.pdfbase.ttfonts import TTFont  # type: ignore[import-untyped]
from reportlab.platypus import (  # type: ignore[import-untyped]
    BaseDocTemplate,
    Flowable,
    Frame,
    FrameBreak,
    HRFlowable,
    Image,
    NextPageTemplate,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from .picture import landscape_jpeg
from .resume import Entry, Resume, Section

WIDTH, HEIGHT = A4
SIDEBAR = 6 * cm
INK, WHITE = HexColor("#222222"), HexColor("#ffffff")

# Both come with reportlab, so no file depends on the fonts of the machine that writes it.
pdfmetrics.registerFont(TTFont("Vera", "Vera.ttf"))
pdfmetrics.registerFont(TTFont("VeraBd", "VeraBd.ttf"))


@dataclass(frozen=True)
class Look:
    """Fonts, size in points and colour of a layout."""

    font: str
    bold: str
    size: float
    accent: Color
    margin: float = 2.2 * cm

    def style(self, scale: float = 1.0, bold: bool = False, color: Color = INK) -> ParagraphStyle:
        size = self.size * scale
        font = self.bold if bold else self.font
        return ParagraphStyle(font, fontName=font, fontSize=size, leading=size * 1.36, textColor=color)


LOOKS = {
    "classic": Look("Times-Roman", "Times-Bold", 11.5, HexColor("#5a1f1f"), 2.6 * cm),
    "academic": Look("Times-Roman", "Times-Bold", 14, HexColor("#1f3a5a"), 3.3 * cm),
    "sidebar": Look("Helvetica", "Helvetica-Bold", 10, HexColor("#1d4e5f"), 1.6 * cm),
    "table": Look("Helvetica", "Helvetica-Bold", 9.5, HexColor("#3b3f8c")),
    "compact": Look("Helvetica", "Helvetica-Bold", 8.2, HexColor("#333333"), 1.5 * cm),
    "portfolio": Look("Times-Roman", "Times-Bold", 11, HexColor("#b0562b")),
    "unicode": Look("Vera", "VeraBd", 11, HexColor("#226644"), 3 * cm),
}


def pdf_bytes(resume: Resume) -> bytes:
    """Return the résumé as PDF in one of the `LOOKS`; only ``unicode`` has letters beyond Latin-1."""
    look = LOOKS[resume.layout]
    if resume.layout == "sidebar":
        return _with_sidebar(resume, look)
    body = _dated_table if resume.layout == "table" else _entries
    story = _head(resume, look) + [
        part for section in resume.sections for part in _section(section, look, body)
    ]
    if resume.layout == "portfolio":
        jpeg = io.BytesIO(landscape_jpeg())
        story += [Spacer(1, 12), Image(jpeg, WIDTH - 2 * look.margin, (WIDTH - 2 * look.margin) * 0.75)]
    side = look.margin
    frame = Frame(side, side, WIDTH - 2 * side, HEIGHT - 2 * side, 0, 0, 0, 0)
    return _built(resume, [PageTemplate(frames=[frame])], story)


def _with_sidebar(resume: Resume, look: Look) -> bytes:
    side = look.margin
    left = Frame(0.8 * cm, side, SIDEBAR - 1.6 * cm, HEIGHT - 2 * side, 0, 0, 0, 0)
    right = Frame(SIDEBAR + side / 2, side, WIDTH - SIDEBAR - 1.5 * side, HEIGHT - 2 * side, 0, 0, 0, 0)
    pages = [
        PageTemplate("first", [left, right], onPage=_band(look)),
        PageTemplate("later", [right], onPage=_band(look)),
    ]
    pale = Look(look.font, look.bold, look.size * 0.92, WHITE)
    white = pale.style(color=WHITE)
    story = [Paragraph(escape(line), white) for line in resume.contact]
    for section in resume.sections:
        if section.side:
            story += _title(section, pale) + [Paragraph(escape(line), white) for line in section.bullets]
    story += [NextPageTemplate("later"), FrameBreak(), *_name(resume, look)]
    for section in resume.sections:
        if not section.side:
            story += _section(section, look, _entries)
    return _built(resume, pages, story)


def _band(look: Look) -> Callable[[Any, Any], None]:
    def paint(canvas: Any, _: Any) -> None:
        canvas.setFillColor(look.accent)
        canvas.rect(0, 0, SIDEBAR, HEIGHT, stroke=0, fill=1)

    return paint


def _head(resume: Resume, look: Look) -> list[Flowable]:
    contact = Paragraph(escape("  |  ".join(resume.contact)), look.style(0.9))
    return [*_name(resume, look), contact]


def _name(resume: Resume, look: Look) -> list[Flowable]:
    name = Paragraph(escape(resume.name), look.style(2.0, bold=True, color=look.accent))
    return [name, Paragraph(escape(resume.headline), look.style(1.15)), Spacer(1, look.size / 3)]


def _title(section: Section, look: Look) -> list[Flowable]:
    title = Paragraph(escape(section.title), look.style(1.15, bold=True, color=look.accent))
    rule = HRFlowable(width="100%", thickness=0.6, color=look.accent, spaceBefore=1, spaceAfter=3)
    title.keepWithNext = rule.keepWithNext = True
    return [Spacer(1, look.size), title, rule]


def _section(section: Section, look: Look, entries: Callable[..., list[Flowable]]) -> list[Flowable]:
    story = _title(section, look)
    if section.text:
        story.append(Paragraph(escape(section.text), look.style()))
    if section.rows:
        story.append(_two_columns(section.rows, look))
    return story + entries(section.entries, look) + _bullets(section.bullets, look)


def _entries(entries: tuple[Entry, ...], look: Look) -> list[Flowable]:
    story: list[Flowable] = []
    for entry in entries:
        when = f" &nbsp; {escape(entry.when)}" if entry.when else ""
        story += [
            Spacer(1, 3),
            Paragraph(f'<font name="{look.bold}">{escape(entry.heading)}</font>{when}', look.style()),
        ]
        story += _entry_body(entry, look)
    return story


def _dated_table(entries: tuple[Entry, ...], look: Look) -> list[Flowable]:
    if not entries:
        return []
    rows = []
    for entry in entries:
        heading = Paragraph(escape(entry.heading), look.style(bold=True))
        rows.append([Paragraph(escape(entry.when), look.style()), [heading, *_entry_body(entry, look)]])
    return [_table(rows, look, grid=True)]


def _entry_body(entry: Entry, look: Look) -> list[Flowable]:
    text = [Paragraph(escape(entry.text), look.style())] if entry.text else []
    return text + _bullets(entry.bullets, look)


def _bullets(bullets: tuple[str, ...], look: Look) -> list[Flowable]:
    style = look.style()
    style.leftIndent, style.bulletIndent = look.size * 1.2, look.size * 0.3
    return [Paragraph(escape(bullet), style, bulletText="•") for bullet in bullets]


def _two_columns(rows: tuple[tuple[str, str], ...], look: Look) -> Table:
    cells = [
        [Paragraph(escape(a), look.style(bold=True)), Paragraph(escape(b), look.style())] for a, b in rows
    ]
    return _table(cells, look, grid=False)


def _table(rows: list[list[Any]], look: Look, grid: bool) -> Table:
    left = 3.2 * cm
    style: list[tuple[Any, ...]] = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 4)]
    if grid:
        style.append(("GRID", (0, 0), (-1, -1), 0.5, look.accent))
    return Table(rows, colWidths=[left, WIDTH - 2 * look.margin - left], style=style, hAlign="LEFT")


def _built(resume: Resume, pages: list[PageTemplate], story: list[Flowable]) -> bytes:
    """Return the file, without time and random identifier, so that equal texts give equal bytes."""
    rl_config.useA85 = 0  # pictures as binary data, not as text that is a quarter longer
    written = io.BytesIO()
    about = {"title": f"{resume.name}: {resume.headline}", "author": resume.name}
    BaseDocTemplate(written, pagesize=A4, pageTemplates=pages, invariant=1, **about).build(story)
    return written.getvalue()
