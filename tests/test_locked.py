import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = {
    ".ci/requirements.txt": (["local"], ["build"]),
    ".ci/requirements-dev.txt": (["local", "studio"], ["dev"]),
}


def wanted(extras: list[str], groups: list[str]) -> Iterator[Requirement]:
    """The requirements of pyproject.toml that a file locks."""
    project, all_groups = PROJECT["project"], PROJECT["dependency-groups"]
    listed = [*project["dependencies"]]
    listed += [line for extra in extras for line in project["optional-dependencies"][extra]]
    for group in groups:
        for line in all_groups[group]:
            listed += [line] if isinstance(line, str) else all_groups[line["include-group"]]
    return map(Requirement, listed)


@pytest.mark.parametrize("name", LOCKED)
def test_every_package_has_hashes_and_nothing_else(name: str) -> None:
    """A locked file pins names and hashes: no address to fetch from, no path."""
    first, *lines = (ROOT / name).read_text().splitlines()
    assert first == "# Written by .ci/lock (add --upgrade for newer versions)."
    text = "\n".join(lines).replace(" \\\n", "")
    assert text
    for line in text.splitlines():
        requirement, *hashes = re.split(r"\s+--hash=sha256:", line)
        pinned, _, marker = requirement.partition(" ; ")
        assert re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", pinned)
        if marker:
            Marker(marker)  # which raises if it is none
        assert hashes
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes)


@pytest.mark.parametrize("name", LOCKED)
def test_what_the_project_needs_is_locked(name: str) -> None:
    """Each requirement of pyproject.toml is pinned, at a version that it allows."""
    pins: dict[str, list[Version]] = {}
    for package, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE):
        pins.setdefault(package, []).append(Version(version))
    for requirement in wanted(*LOCKED[name]):
        versions = pins[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions)
