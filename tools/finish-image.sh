#!/bin/sh
# Takes out of an image's environment what it took to build it, and what it never imports: rjieba
# cuts the words that jieba defines. Writes down what is left, with versions and licences.
set -eu
/opt/sentiment/bin/pip uninstall --quiet --yes jieba setuptools pip
# Of torch, where there is any: its own tests, and headers to compile against.
rm -rf /opt/sentiment/lib/python3*/site-packages/torch/test \
  /opt/sentiment/lib/python3*/site-packages/torch/include
python3 -m venv /opt/inventory
/opt/inventory/bin/pip install --quiet --require-hashes --requirement requirements/sbom.txt
/opt/inventory/bin/cyclonedx-py environment /opt/sentiment/bin/python3 \
  --pyproject pyproject.toml --mc-type application --output-reproducible \
  --output-file /opt/sentiment/sbom.cdx.json
