"""Lists of the Tencent Cloud API, read to their end, and what stands in their rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from registries.connectors import messages
from registries.connectors.tencent_api import TencentApi
from registries.oci.errors import MalformedResponse
from registries.oci.strict_json import parse_time

PAGE_SIZE = 100  # the most that any of these actions gives at a time
MAX_ROUNDS = 3
MAX_SIZE_BYTES = 2**63 - 1
BEIJING_TIME = timezone(timedelta(hours=8))
# "2006-01-02 15:04:05.999999999 -0700 MST", as Go writes times, and "2006-01-02 15:04:05"
TIME_PATTERN = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?(?: ?([+-]\d\d):?(\d\d)(?: \w+)?)?")
# Values of Kind that are known to be no image. Any other is left to the manifest, which tells for certain.
NON_IMAGE_KINDS = frozenset({"chart", "helm", "helmchart", "cnab", "wasm", "model", "skill", "singularity", "opa"})

Rows = list[dict[str, Any]]
FetchRows = Callable[[int], tuple[Rows, int]]  # offset → rows and how many there are in all


def iter_numbered_pages(
    api: TencentApi, action: str, rows: str, *, name: str, region: str, **parameters: object
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list whose Offset is a page number, which have a ``name``. Raises as :func:`read_list`."""

    def fetch(page: int) -> tuple[Rows, int]:
        response = api.call(action, region=region, Limit=PAGE_SIZE, Offset=page, **parameters)
        return _rows(response, rows, "TotalCount")

    return read_list(fetch, name=name, first=1, by_row=False)


def iter_offset_rows(
    api: TencentApi,
    action: str,
    rows: str,
    *,
    name: str,
    region: str,
    total: str = "TotalCount",
    inside: str = "",
    **parameters: object,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list whose Offset is that of a row, which have a ``name``. Raises as :func:`read_list`.

    ``inside`` is the part of the answer that holds rows and total; it may be null.
    """

    def fetch(offset: int) -> tuple[Rows, int]:
        response = api.call(action, region=region, Limit=PAGE_SIZE, Offset=offset, **parameters)
        part = response.get(inside) or {} if inside else response
        return _rows(part if isinstance(part, dict) else {}, rows, total)

    return read_list(fetch, name=name, first=0, by_row=True)


def read_list(fetch: FetchRows, *, name: str, first: int, by_row: bool) -> Iterator[dict[str, Any]]:
    """Yield rows until there are as many as the API counts, each once, and only those that have a ``name``.

    Rows move from page to page where something is pushed or deleted meanwhile: the list is read again then. Raises
    MalformedResponse at the end where there are less rows than counted, and whatever ``fetch`` raises.
    """
    hashes: set[int] = set()

    def fresh(found: Rows) -> Iterator[dict[str, Any]]:
        for row in found:
            if (identity := hash(repr(row))) not in hashes:
                hashes.add(identity)
                if row.get(name):
                    yield row

    total = -1
    for _round in range(MAX_ROUNDS):
        offset, got, moved = first, 0, False
        while True:
            found, counted = fetch(offset)
            moved, total = moved or total not in {-1, counted}, counted
            got += len(found)
            yield from fresh(found)
            if not found or got >= total:
                break
            offset += len(found) if by_row else 1
        if len(hashes) < total and not by_row:  # where the first page is counted as 0
            yield from fresh(fetch(first - 1)[0])
        if len(hashes) >= total and not moved:
            return
    if len(hashes) < total:
        raise MalformedResponse(
            messages.COUNTS_DIFFER(total=total, seen=len(hashes)),
            messages.NEXT_SYNC_TRIES_AGAIN(),
        )


def is_image(row: dict[str, Any]) -> bool:
    """Whether the Kind of a tag leaves it open that it is an image."""
    kind = re.sub(r"[^a-z]", "", str(row.get("Kind") or "").lower())
    return kind not in NON_IMAGE_KINDS


def parse_size(value: object) -> int | None:
    """``value`` as a number of bytes; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIZE_BYTES else None


def parse_timestamp(value: object) -> datetime | None:
    """A time in any of the forms in which the API gives it; one without a zone is Beijing's. None for anything else."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    if found := TIME_PATTERN.fullmatch(value.strip()):
        day, time, hours, minutes = found.groups()
        value = f"{day}T{time}{hours}:{minutes}" if hours else f"{day}T{time}"
        if not hours:
            try:
                return _plausible_time(datetime.fromisoformat(value).replace(tzinfo=BEIJING_TIME).astimezone(UTC))
            except (ValueError, OverflowError):
                return None
    return _plausible_time(parse_time(value))


def _plausible_time(time: datetime | None) -> datetime | None:
    return time if time and time.year > 1 else None


def _rows(part: dict[str, Any], rows: str, total: str) -> tuple[Rows, int]:
    found = part.get(rows) or []
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise MalformedResponse(messages.LIST_OF_ANOTHER_FORM(), messages.CHECK_ENDPOINT())
    counted = part.get(total)
    return found, counted if isinstance(counted, int) and not isinstance(counted, bool) else len(found)
