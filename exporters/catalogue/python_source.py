"""What Python code reads of tables, told from its syntax: it is not run, nor imported."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_NAME: Final = re.compile(r"\w+")
_SQL: Final = re.compile(r"\b(?:SELECT|FROM|JOIN|WHERE|AND|OR|SUM|COUNT|COALESCE|CASE|BY)\b")


def words(text: str) -> Iterator[str]:
    """Yield the names in a text, whole and by their parts: ``run.status``, ``run`` and ``status``."""
    for word in _WORD.findall(text):
        yield word
        if "." in word:
            yield from word.split(".")


class Reader(ast.NodeVisitor):
    """Collects the tables that a module names, and what it reads.

    Columns of SQLAlchemy (``runs.c.status``), items of rows (``run["status"]``, ``row.status``), and texts
    that are names or SQL; not what it writes (keys of dictionaries), nor what it says.
    """

    def __init__(self, tables: Mapping[str, str], *, takes_objects: bool = False) -> None:
        """Read nothing yet.

        Args:
            tables: names of tables, by the names they have in our code.
            takes_objects: whether attributes of anything may be items of rows, as with an ORM.
        """
        self.words: set[str] = set()
        """Tables, columns, and the words of texts."""
        self.whole: set[str] = set()
        """Tables of which rows are read as a whole."""
        self.items: set[str] = set()
        """Items of rows."""
        self._ours = tables
        self._takes_objects = takes_objects
        self._tables: dict[str, set[str]] = defaultdict(set)
        """Tables by the variables that stand for them."""
        self._columns: set[str] = set()
        """Variables that stand for the columns of a table."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note the tables that are imported."""
        if not (node.module or "").endswith(("schema", "tables")):
            return
        for each in node.names:
            if found := self._ours.get(each.name):
                self._tables[each.asname or each.name].add(found)
                self.words.add(found)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Note variables that stand for a table or its columns."""
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
        for target, value in zip(targets, values, strict=False):
            if isinstance(target, ast.Name):
                self._tables[target.id] |= self._tables_of(value)
                self._columns |= {target.id} if _is_columns(value) else set()
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Note the tables of which whole rows are read."""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "select":
            for each in node.args:
                self.whole |= self._tables_of(each)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note columns of tables, and items of rows."""
        owner = node.value
        name = owner.id if isinstance(owner, ast.Name) else ""
        if _is_columns(owner) or name in self._columns:
            self.words.add(node.attr)
        if name == "row" or (self._takes_objects and isinstance(node.ctx, ast.Load)):
            self.items.add(node.attr)
        self.words |= self._tables_of(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Note items of rows; what is assigned to is not read."""
        if isinstance(node.ctx, ast.Load):
            self.visit(node.slice)
            if isinstance(node.slice, ast.Constant):
                self.items.add(str(node.slice.value))
        self.visit(node.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        """Pass over the keys: they are what is written."""
        for key in node.keys:
            if key is not None and not isinstance(key, ast.Constant):
                self.visit(key)
        for value in node.values:
            self.visit(value)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Pass over docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Note what a text with values in it says around them."""
        texts = [each.value for each in node.values if isinstance(each, ast.Constant)]
        self._text(" ".join(map(str, texts)))
        for each in node.values:
            if isinstance(each, ast.FormattedValue):
                self.visit(each)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Note what a text says."""
        if isinstance(node.value, str):
            self._text(node.value)

    def _text(self, text: str) -> None:
        if _NAME.fullmatch(text) or _SQL.search(text):
            self.words.update(words(text))

    def _tables_of(self, node: ast.expr) -> set[str]:
        """Return the tables that an expression may stand for."""
        if isinstance(node, ast.Name):
            return self._tables.get(node.id, set())
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ("schema", "tables") and node.attr in self._ours:
                return {self._ours[node.attr]}
            if node.value.id == "_host":
                return {node.attr}
        return set()


def _is_columns(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("c", "columns")
