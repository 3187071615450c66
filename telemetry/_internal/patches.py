"""Methods of other libraries that we stand in place of, and how to put them back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import wrapt

_patches: Final[dict[tuple[type, str], wrapt.FunctionWrapper[..., Any]]] = {}
"""What stands in place of a method, by class and name."""


def patch(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    """Let ``wrapper`` stand around the method ``name`` that ``owner`` itself defines; once."""
    if (owner, name) in _patches:
        return
    patched = wrapt.FunctionWrapper(vars(owner)[name], wrapper)
    # Of two threads that come here together, one wins; a lock could be held for ever in a forked child.
    if _patches.setdefault((owner, name), patched) is patched:
        setattr(owner, name, patched)


@cache
def definer(kind: type, name: str) -> type:
    """Return the class that defines the method ``name`` of ``kind``."""
    return next(each for each in kind.__mro__ if name in vars(each))


def is_patched() -> bool:
    """Say whether anything of ours stands in place of a method."""
    return bool(_patches)


def unpatch() -> None:
    """Put the original methods back. A method that someone else wrapped after us stays."""
    for (owner, name), patched in list(_patches.items()):
        if vars(owner).get(name) is patched:
            setattr(owner, name, patched.__wrapped__)
            del _patches[owner, name]
