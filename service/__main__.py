"""The command ``sentiment``, also as ``python -m service``: what must precede heavy imports."""

import signal
import sys
from io import TextIOWrapper

from service.process.runtime import collect_rarely, configure_libraries


def main() -> None:
    """Run the command."""
    configure_libraries()
    collect_rarely()
    for stream in (sys.stdout, sys.stderr):
        # Whatever the locale is: JSON and tables are UTF-8. A file name may be in no encoding.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    command = sys.argv[1:2]
    if command == ["health"] and not {"-h", "--help"} & set(sys.argv):  # runs every few seconds
        from service.process.health import health

        health.main(sys.argv[2:], prog_name="sentiment health")
    if command == ["serve"] and "--check" not in sys.argv:
        # PID 1 ignores signals without a handler: until the server installs its own, a stop would
        # be lost and the container killed ten seconds later.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the models are about to be loaded anyway
    from service import commands

    commands.main()


if __name__ == "__main__":
    main()
