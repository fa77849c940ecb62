#!/bin/sh
# Makes .venv, unless it is there, and installs a lock into it: set-up.sh PYTHON LOCK [--torch]
set -eu
python=$1
lock=$2
torch=${3:-}
pip=.venv/bin/pip
mark=.venv/$lock.installed

# First what every later message would put down to something else.
remedy="name another: make PYTHON=python3.12 ..."
if [ -x "$pip" ]; then
  python=.venv/bin/python
  remedy="run make clean, then make PYTHON=python3.12 ..."
fi
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || {
  echo "Python 3.11 or newer is needed, and $python does not run: $remedy" >&2
  exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed, and $python is $version: $remedy" >&2
  exit 1
}

# Two at once would write the same files: the second waits, and finds it done.
if [ -z "${SET_UP_ALONE:-}" ]; then
  export SET_UP_ALONE=yes
  exec "$python" tools/alone.py "$0" "$@"
fi
if [ -e "$mark" ] &&
  [ -z "$(find pyproject.toml requirements/torch.in "requirements/$lock.txt" -newer "$mark")" ]; then
  exit 0
fi

echo "installing requirements/$lock.txt"
[ -x "$pip" ] || "$python" -m venv .venv
[ -z "$torch" ] || tools/install-torch.sh "$pip"
if [ "$lock" = serve ]; then
  # Python compiles what it imports when it first does; pip would compile the rest too, which takes
  # a third of the time.
  set -- --no-compile
else
  set --
fi
tools/install.sh "$pip" "requirements/$lock.txt" "$@"
"$pip" install --quiet --no-deps --no-build-isolation --editable .
touch "$mark"
