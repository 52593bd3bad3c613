"""The software bill of materials of an environment: CycloneDX, from its lock and those of the tools that install it."""

from __future__ import annotations

import re

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.markers import Marker

from harness.envspec import EnvSpec

#: the locks of tools, and what each is for
TOOLS = {"build.txt": "building from source", "pip.txt": "installation in an image"}
#: property of a component that installs the others, and is no part of what runs
USED_FOR = "tf-migration-harness:used-for"
_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)((?:.*\\\n)*.*)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def of(spec: EnvSpec) -> str:
    """The bill as JSON text: every distribution with its version, and the digests of all files that may be installed.

    Tools that only install are in it with the scope ``excluded``.
    """
    top = Component(name=spec.name, version=spec.key, type=ComponentType.PLATFORM, bom_ref=spec.name)
    bom = Bom()
    bom.metadata.component = top
    parts = [
        Component(name="cpython", version=spec.python, type=ComponentType.PLATFORM, bom_ref="cpython"),
        *(_part(*entry) for entry in _ENTRY.findall(spec.lock_text())),
        *(_part(*entry, use) for file, use in TOOLS.items() for entry in _tools(spec, file)),
    ]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(top, parts)
    return str(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_5).output_as_string(indent=1))


def _tools(spec: EnvSpec, file: str) -> list[tuple[str, str, str]]:
    """The entries of a lock of tools that are for the Python of ``spec``."""
    text = "" if file == "build.txt" and not spec.built else (spec.tools_path.parent / file).read_text(encoding="utf-8")
    entries = [(entry, entry[2].partition("\\")[0].strip(" ;")) for entry in _ENTRY.findall(text)]
    return [
        entry for entry, marker in entries if not marker or Marker(marker).evaluate({"python_version": spec.python})
    ]


def _part(name: str, version: str, rest: str, use: str | None = None) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in _HASH.findall(rest)]
    purl = PackageURL("pypi", None, name.lower(), version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl, hashes=hashes,
        bom_ref=f"{purl}#{use}" if use else str(purl), scope=ComponentScope.EXCLUDED if use else None,
        properties=[Property(name=USED_FOR, value=use)] if use else None,
    )  # fmt: skip
