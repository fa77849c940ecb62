"""Run a command once no other started by this script runs in this checkout: alone.py COMMAND ..."""

import fcntl
import os
import sys
from pathlib import Path


def main() -> None:
    """Take the lock, which the command holds until it ends, and run it."""
    lock = os.open(Path(__file__).parent, os.O_RDONLY)
    os.set_inheritable(lock, True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another make is setting up .venv; waiting for it", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:  # a file system without locks cannot keep two apart
        pass
    os.execv(sys.argv[1], sys.argv[1:])  # a script of this repository


if __name__ == "__main__":
    main()
