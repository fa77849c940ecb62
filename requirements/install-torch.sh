#!/bin/sh
# Installs the CPU build of torch with the pip given: install-torch.sh PIP [PIP_ARGUMENT ...]
# A plain `pip install torch` brings gigabytes of CUDA on Linux. A wheel that pip finds on this
# machine (PIP_FIND_LINKS, --find-links) wins, and no index is asked; otherwise PyTorch's own index
# of CPU builds is, or the one that TORCH_INDEX names.
set -eu
pip=$1
shift
requirements=$(dirname "$0")/torch.txt
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
if "$pip" install --quiet --no-deps --no-index "$@" --requirement "$requirements" 2>/dev/null; then
  exit 0
fi
"$pip" install --no-deps --timeout 15 --retries 1 --index-url "$index" \
  --requirement "$requirements" || {
  echo "torch cannot be installed from $index; set TORCH_INDEX to an index that has it" >&2
  exit 1
}
