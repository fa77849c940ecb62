#!/bin/sh
# Installs the CPU build of torch with the pip given: install-torch.sh PIP [PIP_ARGUMENT ...]
# A plain `pip install torch` brings gigabytes of CUDA on Linux. A wheel that pip finds on this
# machine (PIP_FIND_LINKS, --find-links) wins, and no index is asked; otherwise PyTorch's own index
# of CPU builds is, or the one that TORCH_INDEX names.
set -eu
pip=$1
shift
here=$(dirname "$0")
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
if "$pip" install --quiet --no-deps --no-index "$@" --requirement "$here/../requirements/torch.in" 2>/dev/null; then
  exit 0
fi
"$here/pip-install.sh" "$pip" --no-deps --timeout 15 --retries 1 --index-url "$index" \
  --requirement "$here/../requirements/torch.in" || {
  echo "torch did not come from $index: TORCH_INDEX names another index, and PIP_FIND_LINKS a" \
    "folder that has the wheel; make serve needs no torch" >&2
  exit 1
}
