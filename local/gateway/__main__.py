"""``python -m local.gateway --config FILE``: serve an HTTP API until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from local import credentials
from local.gateway.config import Config, build_gateway, load_config
from local.gateway.errors import ConfigurationError
from local.gateway.server import Server


async def serve(config: Config) -> None:
    """Serve until a signal comes. Raises ConfigurationError, or OSError where the port is taken."""
    gateway = build_gateway(config, credentials)
    server = Server(gateway.handle, config.host, config.port)
    await server.start()
    print(f"gateway: http://{config.host}:{config.port}", flush=True)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    await server.stop()
    await gateway.close()


def main() -> int:
    """Run the command; the exit status is 2 for a configuration that the gateway refuses."""
    parser = argparse.ArgumentParser(prog="python -m local.gateway", description=__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="JSON file made by local.gateway.config.build_config"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(load_config(arguments.config)))
    except ConfigurationError as exc:
        print(f"gateway: {exc}", file=sys.stderr)
        return 2
    except OSError as exc:
        print(f"gateway: cannot listen: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
