#!/bin/sh
# Installs a lock with the pip given, each file checked against its hashes: install.sh PIP LOCK
# Of jieba and SnowNLP there is source alone, and pip would build it with whatever setuptools is the
# newest, unchecked: so those of the lock that building takes come first, and build in the open.
set -eu
sed -n -E '/^(setuptools|pybind11)==/,/[^\\]$/p' "$2" |
  "$1" install --quiet --require-hashes --no-deps --requirement /dev/stdin
"$1" install --quiet --require-hashes --no-build-isolation --requirement "$2"
