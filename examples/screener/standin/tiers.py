"""Service tiers: what may be asked for, and which one is billed."""

from typing import Literal

BilledTier = Literal["default", "flex", "priority", "scale"]
Tier = Literal["auto"] | BilledTier


def billed(asked: Tier | None, forced: BilledTier | None) -> BilledTier:
    """Return the tier an answer is billed at.

    Args:
        asked: The tier of the request; None and ``auto`` leave the choice to the service.
        forced: The tier a fault rule prescribes, whatever was asked.
    """
    if forced:
        return forced
    return "default" if asked is None or asked == "auto" else asked
