"""YARA-X: viruses and trojans by the project's rules and the team's own. Layers are read in a sandbox (client.py)."""

from __future__ import annotations

import threading
from pathlib import Path

from console.i18n.message_codes import NOTHING
from scanning.engines.base import EngineError, LayerReport, MalwareFact, Readiness, RiskCategory, StopCheck
from scanning.engines.sandbox.client import SandboxClient
from scanning.engines.sandbox.pool import SandboxPool
from scanning.engines.skipped_content import Notes
from scanning.engines.yara import messages
from scanning.engines.yara.ruleset import (
    RuleSet,
    check_project_rules,
    compile_rules,
    engine_version,
    read_sources,
    rules_version,
)
from scanning.engines.yara.scan import MAX_FILE_BYTES

SCAN_REVISION = 2  # of how we look (scan.py); part of the version, so that raising it has every layer looked at again


class Yara:
    """The engine. ``rules`` is the project's folder of rules, ``extra`` the team's, which need not exist; ``edited``
    is where the team changes its rules, if they are copied from there.

    With ``expected_sha256`` no other rules of the project's are taken; see ``ruleset.project_rules_sha256``.

    ``sandbox`` is where it looks; engines of a process may share one.
    """

    name = "yara"
    categories = frozenset({RiskCategory.MALWARE})

    def __init__(
        self,
        *,
        rules: Path,
        extra: Path | None = None,
        edited: Path | None = None,
        expected_sha256: str | None = None,
        max_file_bytes: int = MAX_FILE_BYTES,
        sandbox: SandboxClient | SandboxPool | None = None,
    ) -> None:
        self._folder, self._extra, self._max_file_bytes = rules, extra, max_file_bytes
        self._edited = edited or extra
        self._expected, self._sandbox = expected_sha256, sandbox or SandboxClient()
        self._lock = threading.Lock()
        self._set: RuleSet | None = None

    def version(self) -> str:
        """Return the version of YARA-X, of our way of looking and of all rules, as they were last compiled."""
        return self._rules().version

    def ready(self) -> Readiness:
        """Say whether there are rules to look with; compiles them again where a file has changed.

        An error in a file of the team's does not stop the others: it is shown, and every report names the file.
        """
        try:
            rules = self._rules(refresh=True)
        except EngineError as error:
            return Readiness(ready=False, version=engine_version(), reason=error.reason, remedy=error.remedy)
        facts = [
            ("Version", engine_version()),
            ("Rules", str(rules.count)),
            ("Rules of the team", str(rules.team_count)),
            ("Rules version", rules.version.rpartition("+")[2]),
            *((("Rules folder", str(self._edited)),) if self._edited else ()),
            *(("Error in a rule", problem) for problem in rules.problems),
        ]
        reason = messages.RULES_WITH_ERRORS(value="; ".join(rules.problems)) if rules.problems else NOTHING
        remedy = messages.CORRECT_RULES(edited=self._edited) if rules.problems else NOTHING
        return Readiness(ready=True, version=rules.version, reason=reason, remedy=remedy, facts=tuple(facts))

    def scan_layer(self, path: Path, *, check: StopCheck) -> LayerReport:
        """Look at every file in the uncompressed layer at ``path``, and into archives in it.

        Uses the rules of the last ``ready()``, so that what is found belongs to ``version()``. Raises EngineError where
        there are no rules or the layer ends the process that looks at it, and what ``check`` raises.
        """
        rules = self._rules()
        notes = Notes()
        for problem in rules.problems:
            notes.add(messages.RULE_WITH_ERROR(), problem)
        seen = self._sandbox.look(path, rules=rules, max_file_bytes=self._max_file_bytes, check=check)
        findings = tuple(
            MalwareFact(
                engine=self.name,
                **rules.told[hit.namespace, hit.rule],
                path=hit.path,
                size=hit.size,
                sha256=hit.sha256,
            )
            for hit in seen.hits
        )
        return LayerReport(findings, seen.files, seen.bytes, (*notes.lines(), *seen.skipped))

    def _rules(self, *, refresh: bool = False) -> RuleSet:
        with self._lock:
            if self._set is None or refresh:
                sources = read_sources(self._folder, self._extra)
                if self._expected:
                    check_project_rules(sources, expected=self._expected)
                version = rules_version(sources, look=(SCAN_REVISION, self._max_file_bytes))
                if self._set is None or self._set.version != version:
                    self._set = compile_rules(sources, version=version)
            return self._set
