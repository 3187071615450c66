"""Service tiers: those that may be requested, and the one that is billed."""

from typing import Literal

BilledTier = Literal["default", "flex", "priority", "scale"]
Tier = Literal["auto"] | BilledTier


def billed(asked: Tier | None, forced: BilledTier | None) -> BilledTier:
    """Return the tier that is billed.

    Args:
        asked: The tier of the request; None and ``auto`` leave the choice to the service.
        forced: The tier of a fault rule, which overrides the request.
    """
    if forced:
        return forced
    return "default" if asked is None or asked == "auto" else asked
