"""The command ``sentiment``, also as ``python -m service``: what comes before heavy imports."""

import signal
import sys


def main() -> None:
    """Runs the command."""
    command = sys.argv[1:2]
    if command == ["health"]:  # asked every few seconds
        from service.process.health import health

        health.main(sys.argv[2:], prog_name="sentiment health")
    if command == ["serve"] and "--check" not in sys.argv:
        # To the first process of a container a signal without a handler is none: until the server
        # has its own, a stop would be lost and the container killed ten seconds later.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what it asks for is done anyway
    from service import commands

    commands.main()


if __name__ == "__main__":
    main()
