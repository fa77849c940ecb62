#!/bin/sh
# Runs `pip install` and says why it found nothing to install: pip-install.sh PIP [PIP_ARGUMENT ...]
# To pip an index that it cannot reach and one that has no fitting file are both "no matching
# distribution"; its log tells them apart.
set -u
pip=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$pip" install --quiet --progress-bar off --log "$log" "$@" && exit 0
wanted=$(sed -n 's/.*ERROR: No matching distribution found for \([^ ]*\).*/\1/p' "$log" | tail -n 1)
if [ -n "$wanted" ]; then
  name=${wanted%%[=<>\[]*}
  here=$("$(dirname "$pip")/python" -c 'import platform as p; print(
    f"Python {p.python_version()} on {p.system()} {p.machine()}")')
  # A 404 is the answer of an index that lacks the package.
  missed=$(sed -n "s|.*Could not fetch URL \(.*/$name/\): .*|\1|p" "$log" | head -n 1)
  if [ -n "$missed" ] && ! grep -q "Could not fetch URL $missed: 404 " "$log"; then
    echo "$wanted is not installed: $missed was not reached, and no file at hand fits $here" >&2
  else
    echo "$wanted is not installed: the indexes have no file of it for $here" >&2
  fi
fi
exit 1
