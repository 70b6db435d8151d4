"""Test connection, live."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import administrator, operator, person
from console.audit import trail
from console.db.primary_keys import key
from registries.connection_test.diagnose import LABELS, Result, Stage, Step
from registries.connection_test.live import NotNowError, begin, steps_of
from registries.forms.registry import RegistryForm
from registries.models import ConnectionTest, Registry
from registries.views.edit import render_form


@require_POST
@operator
def registry_test(request: HttpRequest, pk: int) -> HttpResponse:
    """Test a registry as it is stored."""
    registry = get_object_or_404(Registry.objects.present(), pk=pk)
    try:
        test = begin(registry=registry, user=person(request), saved=True)
    except NotNowError as error:
        return _not_now(request, str(error))
    trail.record(request, "registry.test", registry)
    return _show(request, test)


@require_POST
@administrator
def form_test(request: HttpRequest) -> HttpResponse:
    """Test what somebody has typed into the form; nothing of it is saved."""
    but = key(request.POST.get("but", ""))
    stored = Registry.objects.present().filter(pk=but).first() if but else None
    form = RegistryForm(request.POST, instance=stored or Registry(), testing=True)
    if not form.is_valid():
        response = render_form(request, form, status=422, testing=True)
        response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#registry-form", "outerHTML"
        return response
    registry: Registry = form.instance
    changed = {*form.changed_data} - {"name", "limit"}
    try:
        test = begin(registry=registry, user=person(request), saved=stored is not None and not changed)
    except NotNowError as error:
        return _not_now(request, str(error))
    trail.record(request, "registry.test", registry.name, {"type": registry.type, "address": registry.address})
    return _show(request, test)


@require_GET
@operator
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """How far a test is: only for who has started it."""
    return _show(request, get_object_or_404(ConnectionTest, pk=pk, user=person(request)), answer=True)


def _show(request: HttpRequest, test: ConnectionTest, *, answer: bool = False) -> HttpResponse:
    """Answer with the steps; htmx gets the fragment, others the page of the test, which reloads itself."""
    if not request.headers.get("HX-Request") and not answer:
        return redirect("registries:test", pk=test.pk)
    steps = steps_of(test)
    ended = test.ended_at is not None or test.lost
    fragment = bool(request.headers.get("HX-Request"))
    offered = next((step.token_service for step in steps if step.token_service), "")
    context: dict[str, Any] = {"offered": offered} if offered and person(request).may_administer else {}
    context |= {"test": test, "steps": steps, "missing": missing(steps, ended=ended), "poll": not ended}
    if fragment and ended and test.saved:  # the list below shows what the test has found
        context["changed"] = test.registry
    return render(request, f"registries/{'_test' if fragment else 'test'}.html", context)


def missing(steps: list[Step], *, ended: bool) -> list[tuple[str, bool]]:
    """Return the labels of the steps not done, and which of them is under way."""
    done = {step.stage for step in steps}
    labels = [str(LABELS[stage]) for stage in Stage if stage not in done]
    return [(label, not ended and number == 0) for number, label in enumerate(labels)]


def _not_now(request: HttpRequest, why: str) -> HttpResponse:
    step = Step(Stage.DNS, Result.FAILED, reason=why, remedy=_("No request was made."))
    name = "_test" if request.headers.get("HX-Request") else "test"
    return render(request, f"registries/{name}.html", {"steps": [], "not_now": step}, status=429)
