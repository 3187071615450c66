"""Metrics of this process: the instruments, the totals behind them, and the listener for Prometheus."""
