"""Metrics of this process: instruments, the totals behind them, and the Prometheus endpoint."""
