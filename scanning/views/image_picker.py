"""The two lists in which images are chosen."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from console.accounts.permissions import operator_required, signed_in_user
from console.db.primary_keys import parse_keys
from inventory.models import Tag
from scanning.models import Selection
from scanning.runs import image_picker


@require_http_methods(["GET", "POST"])
@operator_required
def picker(request: HttpRequest, pk: int) -> HttpResponse:
    """Show both lists, after moving what ``move`` says: "right" or "left", the marked ``ids`` or ``all`` that match."""
    selection = get_object_or_404(Selection, pk=pk, owner=signed_in_user(request))
    params = request.POST if request.method == "POST" else request.GET
    if request.method == "POST":
        _move(request, selection)
    state = {
        f"{side}-{name}": params.get(f"{side}-{name}", "") for side in image_picker.SIDES for name in ("q", "page")
    }
    for side in image_picker.SIDES:  # another search begins with its first page
        if params.get(f"{side}-was", state[f"{side}-q"]) != state[f"{side}-q"]:
            state[f"{side}-page"] = ""
    if getattr(request, "htmx", None):
        context = {"chooser": image_picker.read_picker(selection, state), "back": params.get("back", "")}
        response = render(request, "scanning/_image_picker.html", context)
        if request.POST.get("move"):
            response["HX-Trigger-After-Settle"] = "chosen"
        return response
    back = params.get("back", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = "/"
    query = urlencode({"scope": "chosen", "keep": "1"} | {name: value for name, value in state.items() if value})
    return redirect(f"{back}?{query}")


def _move(request: HttpRequest, selection: Selection) -> None:
    direction = request.POST.get("move")
    if direction not in {"left", "right"}:
        return
    side = "left" if direction == "right" else "right"
    if request.POST.get("all") or request.GET.get("all"):
        rows = image_picker.matching(selection, side, request.POST.get(f"{side}-q", ""))
    else:
        ids = parse_keys(request.POST.getlist("ids"))
        rows = Tag.objects.filter(pk__in=ids[: image_picker.PAGE_ROWS * 2])
    if direction == "right":
        selection.add(rows)
    else:
        selection.remove(rows)
