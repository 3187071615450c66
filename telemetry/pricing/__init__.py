"""Price calls: the operator's price file first, then the installed ``genai-prices`` list.

:mod:`.prices` decides which of the two applies, :mod:`.price_file` and :mod:`.price_list` read them, and
:mod:`.rates` does the arithmetic.
"""

from .price_file import PriceFile, read_price_file
from .prices import Price, Prices, default_pricer, to_dollars
from .rates import Rates, Tokens

__all__ = [
    "Price",
    "PriceFile",
    "Prices",
    "Rates",
    "Tokens",
    "default_pricer",
    "read_price_file",
    "to_dollars",
]
