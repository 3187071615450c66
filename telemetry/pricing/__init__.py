"""What a call costs: whose price holds, from a file of the operator's or the list that is installed.

Where the price of a model comes from is said in :mod:`.prices`; the list is in :mod:`.price_list`.
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
