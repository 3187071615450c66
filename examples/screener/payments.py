"""What an analysis costs the customer: a quoted price, charged at the start and refunded when it fails."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import func, select

from .models import Payment, db

BASE_PRICE = Decimal("2.00")
PRICE_PER_RESUME = Decimal("0.10")
PRICE_PER_INSIGHT = Decimal("0.50")


def quote(resumes: int) -> Decimal:
    """Return the price of an analysis, in dollars."""
    return BASE_PRICE + resumes * PRICE_PER_RESUME


def charge(user_id: int, analysis_id: int, amount: Decimal) -> None:
    """Add a charge; the caller commits."""
    db.session.add(Payment(user_id=user_id, analysis_id=analysis_id, kind="charge", amount_usd=amount))


def refund(user_id: int, analysis_id: int) -> None:
    """Refund the remaining charges of an analysis; the caller commits."""
    charged = select(func.sum(Payment.amount_usd)).where(Payment.analysis_id == analysis_id)
    amount = Decimal(db.session.scalar(charged) or 0)
    if amount > 0:
        db.session.add(Payment(user_id=user_id, analysis_id=analysis_id, kind="refund", amount_usd=-amount))
