"""Fails where a pinned version has a known vulnerability that another version mends.

Says in one line that it was skipped where the service that knows them does not answer.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Those we live with, each with its reason: identifier -> why it cannot harm here.
ACCEPTED: dict[str, str] = {}

HERE = Path(__file__).parent
# Asked first, and alone: where the service does not answer, that is known after one package.
FIRST = HERE / "torch.in"
REST = sorted(path for path in HERE.glob("*.txt") if "==" in path.read_text() and path != FIRST)
COMMAND = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--timeout", "5"]
COMMAND += ["--format", "json", "--progress-spinner", "off"]


def audited(paths: list[Path]) -> list[dict[str, Any]]:
    """The pinned packages that the service knows, with their vulnerabilities."""
    arguments = [f"--requirement={path}" for path in paths]
    try:
        run = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120)
        found = json.loads(run.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return []
    return [package for package in found if "vulns" in package]


def main() -> int:
    """The exit code."""
    packages = audited([FIRST])
    if not packages:
        print("audit skipped: the service that knows vulnerabilities does not answer")
        return 0
    packages += audited(REST)
    print(f"{len(packages)} pinned packages audited")
    failures = 0
    for package in packages:
        for vulnerability in package["vulns"]:
            accepted = {vulnerability["id"], *vulnerability["aliases"]} & ACCEPTED.keys()
            mended = ", ".join(vulnerability["fix_versions"])
            note = "accepted" if accepted else f"mended in {mended}" if mended else "no fix yet"
            print(f"{package['name']} {package['version']}: {vulnerability['id']}, {note}")
            failures += bool(mended and not accepted)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
