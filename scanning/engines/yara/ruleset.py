"""YARA rules: the project's own, and those of the team beside them."""

from __future__ import annotations

import functools
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, TypedDict

import yara_x

from scanning.engines.base import EngineError, Severity
from scanning.engines.yara import messages

MAX_TEAM_BYTES = 64 << 20  # of all the team's files
PROBLEM_SUFFIX = ".problem"  # stands for a file that could not be read where it lies: see scanning.rules.team
MAX_PROBLEM_CHARACTERS = 300
RULE_FILE_SUFFIXES = tuple(suffix + problem for suffix in (".yar", ".yara") for problem in ("", PROBLEM_SUFFIX))
EXTERNAL_VARIABLES = ("filename", "filepath", "extension", "filetype", "owner")  # that public rule sets expect
SEVERITY_BY_NAME = {severity.name.lower(): severity for severity in Severity}
SEVERITY_BY_SCORE = ((80, Severity.CRITICAL), (60, Severity.HIGH), (40, Severity.MEDIUM))
PRIVATE_RULE_PATTERN = re.compile(rb"^\s*(?:global\s+)?private\s+(?:global\s+)?rule\s", re.MULTILINE)


@dataclass(frozen=True)
class RuleFile:
    """One file of rules, as it was read. ``problem`` says why it could not be."""

    name: str  # its path in its folder
    ours: bool
    content: bytes
    problem: str = ""


class RuleDescription(TypedDict):
    """What a rule tells of what it finds: these fields of a MalwareFact."""

    rule: str
    family: str
    kind: str
    severity: Severity
    description: str
    reference: str


@dataclass(frozen=True)
class RuleSet:
    """Compiled rules and what is known of them."""

    compiled: bytes  # as YARA-X serialises them
    told: Mapping[tuple[str, str], RuleDescription]  # by namespace and name: what a finding of the rule says
    version: str
    count: int  # of rules that can make a finding
    team_count: int  # of these, the team's
    problems: tuple[str, ...]  # of the team's files: "file.yar:12: what is wrong"


@functools.cache
def engine_version() -> str:
    """Return the version of YARA-X."""
    return installed_version("yara-x")


def read_sources(ours: Path, team: Path | None) -> list[RuleFile]:
    """Read all ``*.yar`` and ``*.yara`` under the two folders; the team's need not exist."""
    return [*_read(ours, ours=True), *(_read(team, ours=False) if team else [])]


def read_team(folder: Path) -> list[RuleFile]:
    """Read the rules of the team in ``folder``, which need not exist."""
    return list(_read(folder, ours=False))


def files_of(folder: Path) -> list[Path]:
    """Return the files of rules in ``folder``, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.rglob("*") if file.name.endswith(RULE_FILE_SUFFIXES))


def _read(folder: Path, *, ours: bool) -> Iterator[RuleFile]:
    folder = folder.resolve()  # a link may be swapped meanwhile
    left = MAX_TEAM_BYTES
    for file in files_of(folder):
        name = str(file.relative_to(folder))
        try:
            if file.suffix == PROBLEM_SUFFIX:
                name = name.removesuffix(PROBLEM_SUFFIX)
                yield RuleFile(name, ours, b"", file.read_text(errors="replace")[:MAX_PROBLEM_CHARACTERS])
            elif not ours and (left := left - file.stat().st_size) < 0:
                yield RuleFile(name, ours, b"", f"{name}: beyond {MAX_TEAM_BYTES >> 20} MiB of rules")
            else:
                yield RuleFile(name, ours, file.read_bytes())
        except OSError as error:
            yield RuleFile(name, ours, b"", f"{name}: {error.strerror}")


def check_project_rules(sources: Iterable[RuleFile], *, expected: str) -> None:
    """Raise EngineError unless the project's own files have the SHA-256 ``expected`` (``project_rules_sha256``)."""
    if (found := project_rules_sha256(sources)) != expected:
        raise EngineError(
            messages.RULES_CHANGED(found=found, expected=expected),
            messages.FIND_WHO_CHANGED_RULES(),
        )


def project_rules_sha256(sources: Iterable[RuleFile]) -> str:
    """Return the SHA-256 (hex) over names and content of the project's own files."""
    digest = hashlib.sha256()
    for source in sources:
        if source.ours:
            digest.update(repr((source.name, len(source.content), source.problem)).encode() + source.content)
    return digest.hexdigest()


def rules_version(sources: Iterable[RuleFile], *, look: object) -> str:
    """Return a version that changes with YARA-X, with any byte of any rule, and with ``look`` (how they are used)."""
    digest = hashlib.sha256(repr(look).encode())
    for source in sources:
        digest.update(repr((source.name, source.ours, len(source.content), source.problem)).encode() + source.content)
    return f"{engine_version()}+{digest.hexdigest()[:16]}"


def compile_rules(sources: Iterable[RuleFile], *, version: str) -> RuleSet:
    """Compile the rules, each file in a namespace of its own.

    An error in a file of the team's is a problem of that file; one in the project's own raises EngineError.
    """
    compiler = yara_x.Compiler(includes_enabled=False)
    for variable in EXTERNAL_VARIABLES:
        compiler.define_global(variable, "")
    problems: list[str] = []
    private = {True: 0, False: 0}
    for source in sources:
        found = [source.problem] if source.problem else _add(compiler, source)
        if found and source.ours:
            raise EngineError(messages.RULES_DAMAGED(value=found[0]), messages.INSTALL_AGAIN())
        problems += found
        private[source.ours] += 0 if found else len(PRIVATE_RULE_PATTERN.findall(source.content))
    rules = compiler.build()
    ours = [rule.namespace.startswith("tallyman/") for rule in rules]
    if not any(ours):
        raise EngineError(messages.NO_RULES(), messages.INSTALL_MISSING_FILES())
    team = len(ours) - sum(ours) - private[False]
    compiled = io.BytesIO()
    rules.serialize_into(compiled)
    findings = {(rule.namespace, rule.identifier): describe_rule(rule) for rule in rules}
    return RuleSet(compiled.getvalue(), findings, version, sum(ours) - private[True] + team, team, tuple(problems))


def describe_rule(rule: Any) -> RuleDescription:
    """Return what findings of a rule say. The team's rules may lack any of our metadata."""
    meta = {key.lower(): value for key, value in rule.metadata}
    return RuleDescription(
        rule=rule.identifier,
        family=str(meta.get("family", "") or meta.get("malware", "") or rule.identifier),
        kind="virus" if str(meta.get("kind", "")).lower() == "virus" else "trojan",
        severity=_severity(meta),
        description=str(meta.get("description", "")),
        reference=str(meta.get("reference", "")),
    )


def _severity(meta: dict[str, Any]) -> Severity:
    """Return the severity: by its name, else by the ``score`` of 0 to 100 that public rule sets have, else high."""
    if severity := SEVERITY_BY_NAME.get(str(meta.get("severity", "")).lower()):
        return severity
    score = meta.get("score")
    return (
        next((severity for least, severity in SEVERITY_BY_SCORE if score >= least), Severity.LOW)
        if isinstance(score, int)
        else Severity.HIGH
    )


def _add(compiler: Any, source: RuleFile) -> list[str]:
    """Add a file's rules. Returns what is wrong with them, each as ``file:line: what``."""
    try:
        text = source.content.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"{source.name}:{source.content.count(10, 0, error.start) + 1}: not UTF-8"]
    before = len(compiler.errors())
    compiler.new_namespace(f"{'tallyman' if source.ours else 'team'}/{source.name}")
    try:
        compiler.add_source(text, origin=source.name)
    except yara_x.CompileError as error:
        found = [f"{source.name}:{one.get('line', 1)}: {one['title']}" for one in compiler.errors()[before:]]
        return found or [f"{source.name}: {error}"]
    return []
