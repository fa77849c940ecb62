#!/bin/sh
# Type-checks the page's JavaScript by the JSDoc in it. Skips with a reason where npm is missing or
# has no TypeScript to install.
set -eu
here=$(dirname "$0")/typescript
installed=.venv/typescript
command -v npm >/dev/null || {
  echo "JavaScript is not type-checked: npm is not installed"
  exit 0
}
if ! cmp -s "$here/package-lock.json" "$installed/package-lock.json"; then
  mkdir -p "$installed"
  cp "$here/package.json" "$here/package-lock.json" "$installed"
  npm ci --silent --no-audit --no-fund --prefix "$installed" 2>/dev/null || {
    rm "$installed/package-lock.json"
    echo "JavaScript is not type-checked: npm cannot install TypeScript"
    exit 0
  }
fi
"$installed/node_modules/.bin/tsc" --project "$here/jsconfig.json"
