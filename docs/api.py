"""`docs/reference/api.md`, made from signatures and docstrings: `make docs` rewrites it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ForwardRef, get_overloads

PAGE = Path(__file__).parent / "reference" / "api.md"
MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "telemetry": ("What application code calls.", ()),
    "telemetry.testing": (
        "For the tests of an application ([how](../how-to/testing.md)).",
        ("telemetry_rollups", "telemetry_errors_raise", "recording"),
    ),
    "telemetry.settings": (
        "Settings come from the environment and from `app.config`: [the list](settings.md).",
        ("Settings", "SettingsError"),
    ),
    "telemetry.setup": (
        "For processes that put the parts together themselves.",
        ("attach", "instrument", "pipeline"),
    ),
    "telemetry.openai": (
        "What counts attempts. Set-up calls it by itself.",
        ("instrument", "uninstrument"),
    ),
    "telemetry.setup.sampling": (
        "So that what is not exported is counted all the same. Set-up calls it by itself.",
        ("record_all",),
    ),
    "telemetry.pricing": (
        "What a call costs ([how](../how-to/prices.md)).",
        (
            "Price",
            "Tokens",
            "Rates",
            "Prices",
            "PriceFile",
            "default_pricer",
            "read_price_file",
            "to_dollars",
        ),
    ),
}
"""What is public: a sentence on each module, and its names; none: those of its `__all__`."""

HEAD = """# API

Every public name, with its signature. What begins with an underscore, and any module that is not on this
page, may change without notice. `import telemetry` needs no extra.
"""
UNSIGNED = {"DocumentBlock", "RunBlock", "RunHandle", "Settings", "StageBlock"}
"""Classes that functions return and nobody constructs, and the one whose fields have a page of their own."""
WIDTH = 100
"""Characters of a signature beyond which each parameter gets a line."""


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [HEAD]
    for name, (sentence, _) in MODULES.items():
        parts += [f"## `{name}`", sentence]
        for public in names(name):
            parts += _entry(name, public)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def names(module: str) -> tuple[str, ...]:
    """Return the public names of a module."""
    return MODULES[module][1] or tuple(import_module(module).__all__)


def _entry(module: str, name: str) -> Iterator[str]:
    """Yield heading, signature and words on one name, and on the members of a class."""
    value = getattr(import_module(module), name)
    found = _plain(value)
    yield f"### `{module}.{name}`"
    if not inspect.isclass(found):
        yield _signature(name, found) if found is value else "A fixture of pytest."
        yield _words(found)
        return
    if name not in UNSIGNED and not issubclass(found, Exception):
        yield _signature(name, found)
    yield _words(found)
    if dataclasses.is_dataclass(found) and name != "Settings":
        yield _fields(found)
    for member, value in vars(found).items():
        if member.startswith("_") and member != "__call__":
            continue
        if isinstance(value, property):
            yield f"#### `{name}.{member}`"
            yield _words(value)
        elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
            yield f"#### `{name}.{member}`"
            yield _signature(member, getattr(found, member))
            yield _words(getattr(found, member))


def _plain(found: Any) -> Any:
    """Return the function that a pytest fixture was made of."""
    unwrap = getattr(found, "_get_wrapped_function", None)
    return found if unwrap is None else unwrap()


def _signature(name: str, found: Callable[..., Any]) -> str:
    lines = "\n".join(_call(name, each) for each in get_overloads(found) or [found])
    return f"```python\n{lines}\n```"


def _call(name: str, found: Callable[..., Any]) -> str:
    """Return a signature, on one line or with a line for each parameter."""
    signature = inspect.signature(found)
    shown = [value for key, value in signature.parameters.items() if key != "self"]
    returned = "" if inspect.isclass(found) else f" -> {_type(signature.return_annotation)}"
    pieces = list(_parameters(shown))
    line = f"{name}({', '.join(pieces)}){returned}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {piece}," for piece in pieces), f"){returned}"])


def _parameters(shown: list[inspect.Parameter]) -> Iterator[str]:
    """Yield what stands between the brackets, `/` and `*` included."""
    before: inspect.Parameter | None = None
    for value in shown:
        if before and before.kind is value.POSITIONAL_ONLY is not value.kind:
            yield "/"
        named_only = value.kind is value.KEYWORD_ONLY
        if named_only and (before is None or before.kind not in (value.KEYWORD_ONLY, value.VAR_POSITIONAL)):
            yield "*"
        yield _parameter(value)
        before = value
    if before and before.kind is before.POSITIONAL_ONLY:
        yield "/"


def _parameter(value: inspect.Parameter) -> str:
    stars = "*" * (value.kind is value.VAR_POSITIONAL) + "**" * (value.kind is value.VAR_KEYWORD)
    typed = "" if value.annotation is value.empty else f": {_type(value.annotation)}"
    default = "" if value.default is value.empty else f" = {value.default!r}"
    return f"{stars}{value.name}{typed}{default}"


def _type(annotation: object) -> str:
    """Return an annotation as it stands in the code."""
    if isinstance(annotation, ForwardRef):  # of a NamedTuple
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _words(found: object) -> str:
    """Return a docstring as Markdown, its sections as lists."""
    text = inspect.getdoc(found)
    assert text, f"{found} has no docstring"
    head, *sections = re.split(r"^(Args|Returns|Raises|Yields):\n", text, flags=re.MULTILINE)
    parts = [_markdown(head)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        indented, rest = _split(body)
        parts += [f"**{title}**", _section(indented, is_list=title in ("Args", "Raises")), _markdown(rest)]
    return "\n\n".join(part for part in (part.strip() for part in parts) if part)


def _split(body: str) -> tuple[str, str]:
    """Divide a section from the paragraphs that follow it without its indentation."""
    found = re.search(r"^\S", body, re.MULTILINE)
    place = found.start() if found else len(body)
    return textwrap.dedent(body[:place]), body[place:]


def _section(text: str, *, is_list: bool) -> str:
    if not is_list:
        return _markdown(text)
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    found = [" ".join(entry.split()).partition(":") for entry in entries]
    return "\n".join(f"* `{name}`: {_markdown(words.strip())}" for name, _, words in found)


def _markdown(text: str) -> str:
    """Turn the reStructuredText of docstrings into Markdown."""
    text = re.sub(
        r":(\w+):`[~.]?(?:telemetry\.)?([^`]+)`",
        lambda role: f"`{role[2]}()`" if role[1] in ("func", "meth") else f"`{role[2]}`",
        text,
    )
    text = text.replace("``", "`")
    block = r"::\n\n((?:^(?: {4}.*)?\n?)+)"
    return re.sub(block, lambda found: _code(found[1]), text, flags=re.MULTILINE).strip()


def _code(text: str) -> str:
    return f":\n\n```python\n{textwrap.dedent(text).strip()}\n```\n\n"


def _fields(found: Any) -> str:
    said = _attribute_docs(found)
    return "\n".join(
        f"* `{entry.name}: {entry.type}`{' – ' + said[entry.name] if entry.name in said else ''}"
        for entry in dataclasses.fields(found)
        if not entry.name.startswith("_")
    )


def _attribute_docs(found: type) -> dict[str, str]:
    """Return the docstring below each field of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
    assert isinstance(tree, ast.ClassDef)
    pairs = zip(tree.body, tree.body[1:], strict=False)
    return {
        entry.target.id: _markdown(str(below.value.value)).replace("\n", " ")
        for entry, below in pairs
        if isinstance(entry, ast.AnnAssign)
        and isinstance(entry.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


if __name__ == "__main__":
    PAGE.write_text(page())
