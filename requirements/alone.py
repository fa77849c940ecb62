"""Becomes a command once no other that was started like this runs here: alone.py COMMAND ..."""

import fcntl
import os
import sys
from pathlib import Path


def main() -> None:
    """Takes the lock, which the command holds until its end, and runs it."""
    lock = os.open(Path(__file__).parent, os.O_RDONLY)
    os.set_inheritable(lock, True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another make sets .venv up: waiting for it", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: then whoever starts two has to know
        pass
    os.execv(sys.argv[1], sys.argv[1:])  # a script of this repository


if __name__ == "__main__":
    main()
