"""Wrap methods of other libraries, and restore them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import wrapt

_patches: Final[dict[tuple[type, str], wrapt.FunctionWrapper[..., Any]]] = {}
"""The wrappers in place, by class and name of the method."""


def patch(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    """Wrap the method ``name`` that ``owner`` itself defines with ``wrapper``, once."""
    if (owner, name) in _patches:
        return
    patched = wrapt.FunctionWrapper(vars(owner)[name], wrapper)
    # If two threads get here at once, one wins; a lock could stay locked in a forked child.
    if _patches.setdefault((owner, name), patched) is patched:
        setattr(owner, name, patched)


@cache
def definer(kind: type, name: str) -> type:
    """Return the class that defines the method ``name`` of ``kind``."""
    return next(base for base in kind.__mro__ if name in vars(base))


def is_patched() -> bool:
    """Return whether any method is wrapped."""
    return bool(_patches)


def unpatch() -> None:
    """Restore the original methods. A wrapper that another library wrapped again stays."""
    for (owner, name), patched in list(_patches.items()):
        if vars(owner).get(name) is patched:
            setattr(owner, name, patched.__wrapped__)
            del _patches[owner, name]
