"""Résumés as Word documents."""

import datetime
import io
import zipfile

from docx import Document
from docx.document import Document as Word
from docx.enum.section import WD_SECTION
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor
from docx.table import _Cell

from .resume import Entry, Resume, Section

WRITTEN = datetime.datetime(2024, 3, 1, 9, 0)


def docx_bytes(resume: Resume) -> bytes:
    """Return a DOCX; its layout is ``headings``, ``table`` (titles on the left) or ``columns`` (two)."""
    document = Document()
    _set_up(document, resume)
    _head(document, resume)
    if resume.layout == "table":
        _sections_as_table(document, resume)
    else:
        if resume.layout == "columns":
            _start_columns(document)
        for section in resume.sections:
            document.add_heading(section.title, level=1)
            _body(document, section)
    return _saved(document)


def _set_up(document: Word, resume: Resume) -> None:
    font = document.styles["Normal"].font
    font.name, font.size = ("Georgia", Pt(11)) if resume.layout == "headings" else ("Arial", Pt(10))
    page = document.sections[0]
    page.left_margin = page.right_margin = page.top_margin = page.bottom_margin = Cm(2.2)
    properties = document.core_properties
    properties.title = properties.subject = f"{resume.name}: {resume.headline}"
    properties.author = properties.last_modified_by = resume.name
    properties.created = properties.modified = properties.last_printed = WRITTEN


def _head(document: Word, resume: Resume) -> None:
    document.add_heading(resume.name, level=0)
    document.add_paragraph().add_run(resume.headline).bold = True
    contact = document.add_paragraph(" · ".join(resume.contact))
    if resume.layout == "columns":
        contact.alignment = WD_ALIGN_PARAGRAPH.CENTER


def _start_columns(document: Word) -> None:
    columns = document.add_section(WD_SECTION.CONTINUOUS)._sectPr.find(qn("w:cols"))
    columns.set(qn("w:num"), "2")
    columns.set(qn("w:space"), "500")


def _sections_as_table(document: Word, resume: Resume) -> None:
    table = document.add_table(rows=0, cols=2)
    table.autofit = False
    for section in resume.sections:
        left, right = table.add_row().cells
        left.width, right.width = Cm(3.8), Cm(12.8)
        title = left.paragraphs[0].add_run(section.title)
        title.bold, title.font.color.rgb = True, RGBColor(0x1F, 0x4E, 0x79)
        _body(right, section)


def _body(place: Word | _Cell, section: Section) -> None:
    if section.text:
        place.add_paragraph(section.text)
    if section.rows:
        _rows(place, section)
    for entry in section.entries:
        _entry(place, entry)
    _bullets(place, section.bullets)


def _rows(place: Word | _Cell, section: Section) -> None:
    table = place.add_table(len(section.rows), 2)
    for row, texts in zip(table.rows, section.rows, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text


def _entry(place: Word | _Cell, entry: Entry) -> None:
    line = place.add_paragraph()
    line.add_run(entry.heading).bold = True
    if entry.when:
        line.add_run(f"\t{entry.when}").italic = True
    if entry.text:
        place.add_paragraph(entry.text)
    _bullets(place, entry.bullets)


def _bullets(place: Word | _Cell, bullets: tuple[str, ...]) -> None:
    for bullet in bullets:
        # By its id, as a search by name for every bullet is slow.
        place.add_paragraph(bullet)._p.style = "ListBullet"


def _saved(document: Word) -> bytes:
    """Return the document with fixed time stamps in the archive, so that equal texts give equal bytes."""
    written, fixed = io.BytesIO(), io.BytesIO()
    document.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(
                zipfile.ZipInfo(member.filename), source.read(member), zipfile.ZIP_DEFLATED, compresslevel=1
            )
    return fixed.getvalue()
