"""Test connection, live."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import administrator_required, operator_required, signed_in_user
from console.audit import trail
from console.db.primary_keys import parse_key
from console.i18n.message_codes import Message
from registries.connection_test import messages as connection_test_messages
from registries.connection_test.background_test import TooManyTestsError, start_connection_test, steps_of
from registries.connection_test.diagnose import STAGE_LABELS, ConnectionStage, ConnectionStep, StepResult
from registries.forms.registry import RegistryForm
from registries.models import ConnectionTest, Registry
from registries.views.edit import render_form


@require_POST
@operator_required
def registry_test(request: HttpRequest, pk: int) -> HttpResponse:
    """Test a registry as it is stored."""
    registry = get_object_or_404(Registry.objects.present(), pk=pk)
    try:
        test = start_connection_test(registry=registry, user=signed_in_user(request), saved=True)
    except TooManyTestsError as error:
        return _too_many_tests(request, error.reason)
    trail.record(request, "registry.test", registry)
    return _show(request, test)


@require_POST
@administrator_required
def form_test(request: HttpRequest) -> HttpResponse:
    """Test what somebody has typed into the form; nothing of it is saved."""
    but = parse_key(request.POST.get("but", ""))
    stored = Registry.objects.present().filter(pk=but).first() if but else None
    form = RegistryForm(request.POST, instance=stored or Registry(), testing=True)
    if not form.is_valid():
        response = render_form(request, form, status=422, testing=True)
        response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#registry-form", "outerHTML"
        return response
    registry: Registry = form.instance
    changed = {*form.changed_data} - {"name", "limit"}
    try:
        test = start_connection_test(
            registry=registry, user=signed_in_user(request), saved=stored is not None and not changed
        )
    except TooManyTestsError as error:
        return _too_many_tests(request, error.reason)
    trail.record(request, "registry.test", registry.name, {"type": registry.type, "address": registry.address})
    return _show(request, test)


@require_GET
@operator_required
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """How far a test is: only for who has started it."""
    return _show(request, get_object_or_404(ConnectionTest, pk=pk, user=signed_in_user(request)), answer=True)


def _show(request: HttpRequest, test: ConnectionTest, *, answer: bool = False) -> HttpResponse:
    """Answer with the steps; htmx gets the fragment, others the page of the test, which reloads itself."""
    if not request.headers.get("HX-Request") and not answer:
        return redirect("registries:test", pk=test.pk)
    steps = steps_of(test)
    ended = test.ended_at is not None or test.lost
    fragment = bool(request.headers.get("HX-Request"))
    offered = next((step.token_service for step in steps if step.token_service), "")
    context: dict[str, Any] = {"offered": offered} if offered and signed_in_user(request).may_administer else {}
    context |= {"test": test, "steps": steps, "missing": pending_steps(steps, ended=ended), "poll": not ended}
    if fragment and ended and test.saved:  # the list below shows what the test has found
        context["changed"] = test.registry
    return render(request, f"registries/{'_test' if fragment else 'test'}.html", context)


def pending_steps(steps: list[ConnectionStep], *, ended: bool) -> list[tuple[str, bool]]:
    """Return the labels of the steps not done, and which of them is under way."""
    done = {step.stage for step in steps}
    labels = [str(STAGE_LABELS[stage]) for stage in ConnectionStage if stage not in done]
    return [(label, not ended and number == 0) for number, label in enumerate(labels)]


def _too_many_tests(request: HttpRequest, why: Message) -> HttpResponse:
    step = ConnectionStep(
        ConnectionStage.DNS, StepResult.FAILED, reason=why, remedy=connection_test_messages.NO_REQUEST()
    )
    name = "_test" if request.headers.get("HX-Request") else "test"
    return render(request, f"registries/{name}.html", {"steps": [], "not_now": step}, status=429)
