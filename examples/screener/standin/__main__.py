"""Command line of the stand-in: ``python -m examples.screener.standin --port 0``."""

import argparse
import sys
from pathlib import Path

from .faults import FaultPlan
from .server import serve


def main(argv: list[str] | None = None) -> None:
    """Read the options and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.screener.standin", description="OpenAI stand-in"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    parser.add_argument("--config", type=Path, help="JSON file with fault rules to start with")
    parser.add_argument("--port-file", type=Path, help="file that receives the port once the server is ready")
    options = parser.parse_args(argv)
    if not 0 <= options.port <= 65535:
        parser.error(f"--port {options.port}: a port is a number from 0 to 65535")
    try:
        plan = FaultPlan.from_json(options.config.read_bytes()) if options.config else FaultPlan()
    except (OSError, ValueError) as error:
        sys.exit(f"--config {options.config}: {error}")
    serve(options.host, options.port, plan, options.port_file)


if __name__ == "__main__":
    main()
