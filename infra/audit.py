"""The pins, and all else that is installed here, in; their known vulnerabilities out. `make audit` runs it; pip-audit does the work.

Exit status: 0 none is known, or nobody could be asked, which is said in a line that begins with SKIPPED; 1 anything else.
Arguments go on to pip-audit, for example `--vulnerability-service osv` to ask OSV in place of PyPI.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
_OWN = "raytrieve"
_NO_NETWORK = re.compile(r"Could not connect|\b(?:ConnectionError|ProxyError|ConnectTimeout|ReadTimeout|NameResolutionError)\b")


def main(arguments: list[str]) -> int:
    """Audit, say what was found, and give the exit status."""
    done = _ask(requirements(), arguments)
    if not done.stdout.strip():
        if _NO_NETWORK.search(done.stderr):
            return _skipped("the advisory service cannot be reached")
        print(done.stderr, file=sys.stderr)
        return 1
    packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return _skipped("the package index in use answers no question about advisories")
    faults = [f"{package['name']} {package['version']}: {_told(fault)}" for package in packages for fault in package.get("vulns", [])]
    faults += [f"{name}: the advisory service does not know it, so it was not audited" for name in unknown]
    for fault in faults:
        print(fault)
    print(f"{len(packages)} packages audited, {len(faults)} faults.")
    return 1 if faults else 0


def requirements() -> dict[str, str]:
    """Name -> version of what is pinned and of what is installed without a pin. Builds such as 2.13.0+cpu count as their release."""
    found = {each.name.lower().replace("_", "-"): each.version.partition("+")[0] for each in importlib.metadata.distributions()}
    pins = (line.split("==") for line in CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line and not line.startswith("#"))
    found |= {name.lower().replace("_", "-"): version for name, version in pins}
    found.pop(_OWN, None)
    return dict(sorted(found.items()))


def _ask(packages: dict[str, str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "requirements.txt")
        listed.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()), "utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(listed), "--no-deps", "--disable-pip", "--format", "json"]
        return subprocess.run([*command, "--progress-spinner", "off", *arguments], capture_output=True, text=True)


def _told(fault: dict[str, Any]) -> str:
    fixed = ", ".join(fault["fix_versions"])
    return f"{fault['id']}, " + (f"mended in {fixed}" if fixed else "not mended in any release")


def _skipped(why: str) -> int:
    print(f"SKIPPED: nothing was audited, because {why}; run `make audit` on a machine with network.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
