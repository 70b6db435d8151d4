"""Every page of the console, found by walking its table of addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver

# URL name → the model whose row its "pk" is, or which row to take
MODEL_BY_NAMESPACE: dict[str, Any] = {
    "registries": "registries.Registry",
    "registries:test": "registries.ConnectionTest",
    "registries:sync": "registries.SyncRun",
    "registries:tencent": "registries.CloudAccount",
    "scanning:run": "scanning.ScanRun",
    "scanning:schedule": "scanning.ScanSchedule",
    "scanning:chooser": "scanning.Selection",
    "scanning:vulnerability": "scanning.Vulnerability",
    "scanning:package": "scanning.Package",
    "scanning:scan-columns": "scanning.ScanRun",
    "scanning:affected": "scanning.Vulnerability",
    "scanning:holder": "scanning.Package",
}
EXAMPLES = {"type": "harbor", "listing": "images"}
LARGEST_FIRST = {"scanning.Vulnerability": "-images", "scanning.Package": "-images", "scanning.ScanRun": "-pk"}


def addresses() -> Iterator[tuple[str, str]]:
    """Yield URL name and path of each address of the console that there is a row for; Django admin is left out."""
    for namespace, pattern, route in _walk(get_resolver(), "", ""):
        if namespace == "admin":
            continue
        name = f"{namespace}:{pattern.name}"
        path = _filled(name, route)
        if path is not None:
            yield name, path


def _walk(resolver: URLResolver, namespace: str, route: str) -> Iterator[tuple[str, URLPattern, str]]:
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            yield from _walk(one, one.namespace or namespace, route + str(one.pattern))
        elif one.name:
            yield namespace, one, route + str(one.pattern)


def _filled(name: str, route: str) -> str | None:
    """Return the path of ``route`` with its parameters filled from rows that are there; None where there are none."""
    path = route
    for converter, parameter in re.findall(r"<(?:(\w+):)?(\w+)>", route):
        value = _value(name, parameter)
        if value is None:
            return None
        path = path.replace(f"<{converter}:{parameter}>" if converter else f"<{parameter}>", str(value), 1)
    return f"/{path}"


def _value(name: str, parameter: str) -> Any:
    if parameter == "tag_id":
        return _first("inventory.Tag", order="-image__critical", image__scan_state="scanned")
    if name == "scanning:vulnerability" and parameter == "name":
        found = apps.get_model("scanning.Vulnerability")._default_manager.order_by("-images").first()
        return found.name if found else None
    if parameter in EXAMPLES:
        return EXAMPLES[parameter]
    known = max((key for key in MODEL_BY_NAMESPACE if name.startswith(key)), key=len, default=None)
    if known is None:
        return None
    model = MODEL_BY_NAMESPACE[known]
    return _first(model, order=LARGEST_FIRST.get(model, "pk"))


def _first(label: str, *, order: str = "pk", **conditions: Any) -> Any:
    model: type[Model] = apps.get_model(label)
    return model._default_manager.filter(**conditions).order_by(order).values_list("pk", flat=True).first()
