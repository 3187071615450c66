"""Rate-limit headers: the rest of this minute's limit, per model; limits are not enforced."""

import time
from threading import Lock

REQUESTS_PER_MINUTE = 10_000
TOKENS_PER_MINUTE = 10_000_000


class RateLimits:
    """Counts requests and tokens of the current minute; thread-safe."""

    def __init__(self) -> None:
        self._minute = 0
        self._used: dict[str, tuple[int, int]] = {}
        self._lock = Lock()

    def headers(self, model: str, tokens: int, *, exhausted_for: str | None = None) -> dict[str, str]:
        """Count one request and return its ``x-ratelimit-*`` headers.

        Args:
            model: The requested model.
            tokens: The tokens billed for this request.
            exhausted_for: Given with a 429: no request is left until then, such as ``20ms``.
        """
        now = time.time()
        requests, spent = self._count(model, tokens, int(now // 60))
        reset = f"{60 - now % 60:.3f}s"
        left = 0 if exhausted_for is not None else max(0, REQUESTS_PER_MINUTE - requests)
        return {
            "x-ratelimit-limit-requests": str(REQUESTS_PER_MINUTE),
            "x-ratelimit-limit-tokens": str(TOKENS_PER_MINUTE),
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-remaining-tokens": str(max(0, TOKENS_PER_MINUTE - spent)),
            "x-ratelimit-reset-requests": exhausted_for or reset,
            "x-ratelimit-reset-tokens": reset,
        }

    def _count(self, model: str, tokens: int, minute: int) -> tuple[int, int]:
        with self._lock:
            if minute != self._minute:
                self._minute, self._used = minute, {}
            requests, spent = self._used.get(model, (0, 0))
            self._used[model] = (requests + 1, spent + tokens)
            return self._used[model]
