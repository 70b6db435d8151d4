"""The page "Security"."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console.accounts.permissions import administrator_required
from console.audit import trail
from console.server import installation_checks as checks


@require_http_methods(["GET", "POST"])
@administrator_required
def security(request: HttpRequest) -> HttpResponse:
    """What is not safe yet and what is in order; a POST says that the keys are backed up."""
    if request.method == "POST":
        if request.POST.get("do") == "key.backup":
            trail.record(request, "key.backup", detail={"fingerprint": checks.fingerprint()})
            messages.success(request, _("The backup is confirmed. Confirm it again after each new key."))
        return redirect("console:security")
    found = checks.run_all()
    by_level = {level: [check for check in found if check.level == level] for level in ("fault", "advice", "ok")}
    context = {"faults": by_level["fault"], "advice": by_level["advice"], "fine": by_level["ok"]}
    return render(request, "console/security.html", context | {"advice_count": len(by_level["advice"])})
