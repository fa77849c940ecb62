"""Fail if a pinned version has a known vulnerability that another version fixes.

If the vulnerability service does not answer, the audit is skipped with one line that says so.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Accepted vulnerabilities: identifier -> why it does no harm here.
ACCEPTED: dict[str, str] = {}

LOCKS = Path(__file__).parent.parent / "requirements"
# Audited first and alone, so that an unreachable service is noticed after one package.
FIRST = LOCKS / "torch.in"
REST = sorted(path for path in LOCKS.glob("*.txt") if "==" in path.read_text() and path != FIRST)
COMMAND = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--timeout", "5"]
COMMAND += ["--format", "json", "--progress-spinner", "off"]


def audited(paths: list[Path]) -> list[dict[str, Any]]:
    """Return the pinned packages that the service knows, with their vulnerabilities."""
    arguments = [f"--requirement={path}" for path in paths]
    try:
        run = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120)
        found = json.loads(run.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return []
    return [package for package in found if "vulns" in package]


def main() -> int:
    """Audit every lock and return the exit code."""
    packages = audited([FIRST])
    if not packages:
        print("audit skipped: the vulnerability service does not answer")
        return 0
    packages += audited(REST)
    print(f"{len(packages)} pinned packages audited")
    failures = 0
    for package in packages:
        for vulnerability in package["vulns"]:
            accepted = {vulnerability["id"], *vulnerability["aliases"]} & ACCEPTED.keys()
            fixed = ", ".join(vulnerability["fix_versions"])
            note = "accepted" if accepted else f"fixed in {fixed}" if fixed else "no fix yet"
            print(f"{package['name']} {package['version']}: {vulnerability['id']}, {note}")
            failures += bool(fixed and not accepted)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
