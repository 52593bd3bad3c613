"""The software bill of materials of an environment: CycloneDX, from its lock."""

from __future__ import annotations

import re

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from harness.envspec import EnvSpec

_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)((?:.*\\\n)*.*)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def of(spec: EnvSpec) -> str:
    """The bill as JSON text: every distribution with its version, and the digests of all files that may be installed."""
    top = Component(name=spec.name, version=spec.key, type=ComponentType.PLATFORM, bom_ref=spec.name)
    bom = Bom()
    bom.metadata.component = top
    parts = [
        Component(name="cpython", version=spec.python, type=ComponentType.PLATFORM, bom_ref="cpython"),
        *(_part(*entry) for entry in _ENTRY.findall(spec.lock_text())),
    ]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(top, parts)
    return str(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_5).output_as_string(indent=1))


def _part(name: str, version: str, rest: str) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in _HASH.findall(rest)]
    purl = PackageURL("pypi", None, name.lower(), version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl, hashes=hashes, bom_ref=str(purl)
    )
