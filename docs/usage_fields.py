"""Write docs/reference/usage-fields.md from the types of the OpenAI client; `make docs` runs it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import openai
from openai.types import beta, responses
from pydantic import BaseModel

from telemetry.usage.fields import Field, costs_its_tokens_alone, treatment

PAGE: Final = Path(__file__).parent / "reference" / "usage-fields.md"
REPORTS: Final = "openai.types.admin."
"""Reports on the account of an organisation, which are no answers to calls."""
TREATMENTS: Final = {
    Field.INPUT: "input tokens",
    Field.OUTPUT: "output tokens",
    Field.CACHED: "cached input tokens",
    Field.WRITTEN: "input tokens written to the cache",
    Field.REASONING: "reasoning tokens, priced as the output they are part of",
    Field.TOTAL: "checked: must be the sum of input and output",
    Field.PART: "priced as the input or output it is part of",
    Field.LABEL: "counts nothing",
    Field.UNMODELLED: "not priced by tokens: if it is not 0, the call is unpriced",
}
NOT_BILLED: Final = frozenset({"usage_bytes", "usage_ratio"})
"""Fields named like a usage that are none: the size of a store, and how full a context is."""
HEAD: Final = """# Fields of a usage

For administrators of money: every field of a usage in the types of the OpenAI client, and how it is priced.

A field that is not in this table makes its call unpriced if it has a count or any other content.
`make docs` writes this page from openai {version} and the tables of `telemetry/usage/fields.py`. A test fails
if the client brings a field that they do not name.

| field | treated as | in the types |
|---|---|---|"""
OUTPUTS: Final = """
## Types of output

The output of a response may consist of these types. A type that is not in this table makes the call unpriced.

| type | costs |
|---|---|"""
WORDS: Final = {
    True: "only its tokens",
    False: "more than its tokens: the call is unpriced",
    None: "not known",
}
MOST_NAMES: Final = 5


class UsageField(NamedTuple):
    """One field of a usage."""

    path: tuple[str, ...]
    """Names from the usage down to the field."""
    owner: str
    """The type, of an answer or a part of it, that has the usage."""

    @property
    def treatment(self) -> Field | None:
        """How the field is treated; None if the tables do not name it."""
        return treatment(self.path[1:]) if self.path[0] == "usage" else Field.UNMODELLED


def fields() -> Iterator[UsageField]:
    """Find the fields of all usages in the types of the installed client."""
    for model in _models():
        for name, field in model.model_fields.items():
            if name == "usage":
                for path in _paths(field.annotation, (name,)):
                    yield UsageField(path, model.__name__)
            elif "usage" in name and name not in NOT_BILLED:
                yield UsageField((name,), model.__name__)


def outputs() -> Iterator[str]:
    """Find the types of which the output of a response may consist."""
    for kind in (responses.ResponseOutputItem, getattr(beta, "BetaResponseOutputItem", None)):
        for model in _nested(kind):
            yield from typing.get_args(model.model_fields["type"].annotation)


def page() -> str:
    """Return the page: a row for each field and treatment, and one for each type of output."""
    owners = defaultdict(set)
    for field in fields():
        known = field.treatment
        owners[".".join(field.path), "not known" if known is None else TREATMENTS[known]].add(field.owner)
    rows = [
        f"| `{path}` | {what} | {_some(sorted(names))} |" for (path, what), names in sorted(owners.items())
    ]
    types = [f"| `{output}` | {WORDS[costs_its_tokens_alone(output)]} |" for output in sorted(set(outputs()))]
    return "\n".join([HEAD.format(version=openai.__version__), *rows, OUTPUTS, *types, ""])


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:MOST_NAMES])} and {more} more"


def _models() -> Iterator[type[BaseModel]]:
    seen = set()
    for module in pkgutil.walk_packages(openai.types.__path__, "openai.types."):
        if module.name.startswith(REPORTS):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, BaseModel) and value not in seen:
                seen.add(value)
                yield value


def _paths(annotation: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    nested = list(_nested(annotation))
    if not nested:
        yield path
    for model in nested:
        for name, field in model.model_fields.items():
            yield from _paths(field.annotation, (*path, name))


def _nested(annotation: object) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _nested(part)


if __name__ == "__main__":
    PAGE.write_text(page())
