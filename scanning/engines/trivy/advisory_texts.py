"""What Trivy's database says of vulnerabilities themselves: titles, texts, scores. Read from the file, not from a run.

A run of Trivy works on what is anybody's, and writes the rating that holds for a package into what it tells of a
vulnerability. The row of a vulnerability is shared by all images, so it is filled from the database alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from scanning.engines.base import EngineError, Severity, VulnerabilityFact
from scanning.engines.trivy import messages
from scanning.engines.trivy.bbolt import BboltError, Bucket
from scanning.engines.trivy.vulndb_folder import INSTALL_REMEDY

MAX_DESCRIPTION_CHARACTERS = 20_000  # characters of a description
MAX_REFERENCES = 100
VULNERABILITY_BUCKET = b"vulnerability"
_CVSS_KEYS = (("V3Score", "V3Vector"), ("V40Score", "V40Vector"), ("V2Score", "V2Vector"))  # in the order of preference

Json = dict[str, Any]


def read_vulnerabilities(database: Path, names: Iterable[str]) -> Iterator[VulnerabilityFact]:
    """Yield what the database in the folder ``database`` says of these vulnerabilities, each once.

    One that it has no text of, or none that can be read, has its name alone. Raises EngineError where the file is
    damaged.
    """
    try:
        with (database / "trivy.db").open("rb") as file:
            table = Bucket.open(file)[VULNERABILITY_BUCKET]
            for name in dict.fromkeys(names):
                try:
                    text = table[name.encode()] if isinstance(table, Bucket) else b""
                    value = json.loads(text) if isinstance(text, bytes) else {}
                except BboltError:
                    raise
                except (KeyError, ValueError, RecursionError):
                    value = {}
                yield parse_vulnerability(name, value if isinstance(value, dict) else {})
    except (OSError, BboltError, KeyError) as error:
        raise EngineError(messages.DATABASE_DAMAGED(error=error), INSTALL_REMEDY) from error


def parse_vulnerability(name: str, value: Json) -> VulnerabilityFact:
    """Return what an entry of the database says. A member of another kind than expected counts as missing."""
    rank, rated_by = _rating(value)
    score, vector = _cvss(value, rated_by)
    return VulnerabilityFact(
        id=name,
        title=_text(value, "Title"),
        description=_text(value, "Description"),
        severity=rank,
        severity_source=rated_by,
        cvss_score=score,
        cvss_vector=vector,
        references=_texts(value, "References")[:MAX_REFERENCES],
        cwes=_texts(value, "CweIDs")[:MAX_REFERENCES],
        published_at=_time(value, "PublishedDate"),
        modified_at=_time(value, "LastModifiedDate"),
    )


def _rating(value: Json) -> tuple[Severity, str]:
    """Return the severity of a vulnerability and who gave it: the same whatever package of whatever system has it."""
    ranks = _members(value, "VendorSeverity")
    for source in ("nvd", "ghsa", *sorted(ranks)):
        rank = ranks.get(source)
        if isinstance(rank, int) and not isinstance(rank, bool) and 0 <= rank < len(Severity):
            return Severity(rank + 1), source
    named = _text(value, "Severity")
    return Severity[named] if named in Severity.__members__ else Severity.UNKNOWN, ""


def _cvss(value: Json, severity_source: str) -> tuple[float | None, str]:
    """Return score and vector of the source of the severity, else of the NVD, else of any; version 3 before 4 and 2."""
    scores = _members(value, "CVSS")
    for source in (severity_source, "nvd", *sorted(scores)):
        rating = _members(scores, source)
        for score, vector in _CVSS_KEYS:
            number = rating.get(score)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return float(number), _text(rating, vector)
    return None, ""


def _members(value: Json, key: str) -> Json:
    members = value.get(key)
    return members if isinstance(members, dict) else {}


def _text(value: Json, key: str) -> str:
    text = value.get(key)
    return text.replace("\x00", "")[:MAX_DESCRIPTION_CHARACTERS] if isinstance(text, str) else ""


def _texts(value: Json, key: str) -> tuple[str, ...]:
    texts = value.get(key)
    return tuple(text.replace("\x00", "") for text in texts if isinstance(text, str)) if isinstance(texts, list) else ()


def _time(value: Json, key: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(value, key))
    except ValueError:
        return None
    return time if time.tzinfo and time.year > 1 else None
