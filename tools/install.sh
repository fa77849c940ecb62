#!/bin/sh
# Installs a lock with the pip given, each file checked against its hashes:
# install.sh PIP LOCK [PIP_ARGUMENT ...]
set -eu
pip=$1
lock=$2
shift 2
here=$(dirname "$0")
if grep -qE '^(jieba|snownlp|fasttext-wheel)==' "$lock"; then
  # Of these there is source alone, and pip would build it with whatever setuptools is the newest,
  # unchecked: so those of the lock that building takes come first, and build in the open.
  sed -n -E '/^(setuptools|pybind11)==/,/[^\\]$/p' "$lock" |
    "$here/pip-install.sh" "$pip" --require-hashes --no-deps --requirement /dev/stdin
fi
"$here/pip-install.sh" "$pip" --require-hashes --no-build-isolation "$@" --requirement "$lock"
