"""Django admin of all apps: every table is there, can be searched, shows no credential, and cannot be changed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Field, Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.listing import listing
from console.models import Team, User
from console.support.read_only import ReadOnlyAdmin, is_hidden
from demo.inventory.make import make
from inventory.models import Tag
from scanning.models import ImagePackage, Scan, ScanRun, ScanSubscription
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
APPS = ("console", "registries", "inventory", "scanning")
OURS = [model for name in APPS for model in apps.get_app_config(name).get_models()]
QUEUE = [model for model in apps.get_app_config("django_q").get_models() if model in admin.site._registry]
QUEUE += [apps.get_model("axes.AccessLog"), apps.get_model("axes.AccessFailureLog")]
TELLING = re.compile(r"token|passw|secret|(^|_)key|login|fingerprint")
HARMLESS = {  # names and times, no credentials
    *("CloudAccount.secret_id", "Export.visibility_key", "Image.secret", "User.last_login"),
    *("Registry.token_service", "Registry.login_lease_holder", "Registry.login_lease_until"),
}


@pytest.fixture
def staff(client: Client) -> Client:
    user = person("administrator", is_staff=True, is_superuser=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_it_wears_the_colours_of_the_console(staff: Client) -> None:
    assert 'href="/static/admin.css"' in staff.get("/admin/").text


def filled(model: type[Model]) -> Model:
    """Return a row of ``model``, made with whatever its columns take."""
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.primary_key or field.has_default() or field.null or getattr(field, "auto_now_add", False):
            continue
        if field.is_relation:
            target = field.related_model
            values[field.name] = target._default_manager.first() or filled(target)
        elif TELLING.search(field.name) and field.get_internal_type() in {"CharField", "TextField"}:
            values[field.name] = f"planted-{field.name}"[: getattr(field, "max_length", None) or 60]
        else:
            values[field.name] = _value(field)
    if model._meta.app_label == "django_q" and model._meta.proxy:  # of what succeeded, of what failed
        values |= {"id": "1" * 32, "success": model.__name__ == "Success"}
    return model._default_manager.create(**values)


def _value(field: Field[Any, Any]) -> Any:
    now = timezone.now()
    kinds: dict[str, Any] = {
        "DateTimeField": now,
        "DateField": now.date(),
        "TimeField": now.time(),
        "JSONField": [],
        "BooleanField": False,
        "FloatField": 1.0,
        "BinaryField": b"bytes",
    }
    kind = field.get_internal_type()
    if kind in kinds:
        return kinds[kind]
    choices = [value for value, _label in field.flatchoices]
    return choices[0] if choices else 1 if "Integer" in kind else ""


def test_every_table_of_ours_is_in_django_admin() -> None:
    assert [model.__name__ for model in OURS if model not in admin.site._registry] == []


@pytest.mark.parametrize("model", OURS + QUEUE, ids=lambda model: model._meta.label)
def test_staff_list_search_and_open_a_row_of(staff: Client, model: type[Model]) -> None:
    row = model._default_manager.first() or filled(model)
    assert staff.get(address(model, "changelist")).status_code == 200
    assert staff.get(address(model, "changelist"), {"q": "1"}).status_code == 200
    page = staff.get(address(model, "change", row.pk))
    assert page.status_code == 200
    for link in re.findall(r'href="(/admin/[^"]+__id__exact=[^"]+)"', page.content.decode()):
        assert staff.get(link).status_code == 200, link


@pytest.mark.parametrize(
    "model", [model for model in OURS + QUEUE if model not in {User, Team}], ids=lambda model: model._meta.label
)
def test_nobody_adds_changes_or_deletes_a_row_of(staff: Client, model: type[Model]) -> None:
    row = model._default_manager.first() or filled(model)
    assert staff.get(address(model, "add")).status_code == 403
    assert staff.post(address(model, "change", row.pk), {}).status_code == 403
    assert staff.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    staff.post(address(model, "changelist"), chosen)
    assert model._default_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_no_page_shows_a_credential_of(staff: Client, model: type[Model]) -> None:
    telling = [
        field
        for field in model._meta.concrete_fields
        if TELLING.search(field.name) and f"{model.__name__}.{field.name}" not in HARMLESS and not field.is_relation
    ]
    registered = admin.site.get_model_admin(model)
    if isinstance(registered, ReadOnlyAdmin):
        assert [field.name for field in telling if not is_hidden(field)] == []
        shown = set(map(str, registered.list_display)) | set(map(str, registered.search_fields))
        assert not shown & {field.name for field in telling}
    if not telling or model is User:
        return
    row = model._default_manager.first() or filled(model)
    planted = {str(getattr(row, field.name)) for field in telling} - {""}
    for url in (address(model, "changelist"), address(model, "change", row.pk)):
        text = staff.get(url).content.decode()
        assert not [secret for secret in planted if secret in text]


def test_lists_take_as_many_queries_for_many_rows_as_for_few(staff: Client, django_assert_max_num_queries: Any) -> None:
    make(tags=60, images=20, seed=3, now=timezone.now())
    for model in OURS:
        staff.get(address(model, "changelist"))
        with django_assert_max_num_queries(14):
            staff.get(address(model, "changelist"))


def test_a_list_shortens_digests_and_links_the_rows_of_other_tables(staff: Client) -> None:
    tag = factories.tag("v1", path="team/app")
    html = staff.get("/admin/inventory/tag/").content.decode()
    assert tag.image is not None
    assert f"{tag.digest[:19]}…<" in html
    assert tag.digest not in html
    assert f'<a href="/admin/inventory/image/{tag.image.pk}/change/">{tag.image.image_id[:19]}…</a>' in html
    assert 'class="sortable column-digest"' in html
    digests = sorted([tag.digest, factories.tag("v2", path="team/app").digest])
    for order, expected in (("2", digests), ("-2", digests[::-1])):
        html = staff.get("/admin/inventory/tag/", {"o": order}).content.decode()
        assert re.findall(r'field-digest">(sha256:[0-9a-f]+)…<', html) == [digest[:19] for digest in expected]


def test_a_row_leads_to_its_page_in_the_console(staff: Client) -> None:
    tag = factories.tag("v1", path="team/app")
    of = tag.image
    assert of is not None
    found = factories.vulnerability(of, name="CVE-2024-0001")
    rows = {
        tag: f"/images/{tag.pk}/",
        tag.repository.registry: f"/registries/{tag.repository.registry_id}/",
        found.vulnerability: "/scans/vulnerabilities/CVE-2024-0001/",
        found.package: f"/scans/packages/{found.package_id}/",
    }
    for row, page in rows.items():
        assert (
            f'<a href="{page}" class="viewsitelink">'
            in staff.get(address(type(row), "change", row.pk)).content.decode()
        )
        assert staff.get(page).status_code == 200
    assert "viewsitelink" not in staff.get(address(type(of), "change", of.pk)).content.decode()


def test_staff_search_by_what_belongs_to_a_row_and_by_the_beginning_of_a_digest(staff: Client) -> None:
    make(tags=30, images=10, seed=3, now=timezone.now())
    held = ImagePackage.objects.select_related("package", "image").first()
    assert held is not None
    for term, expected in (
        (held.package.name, {held.package.name}),
        (f" {held.image.image_id[:20]} ", None),
        ("nothing-is-called-this", set()),
    ):
        rows = staff.get(address(ImagePackage, "changelist"), {"q": term}).context["cl"].queryset
        found = {row.package.name for row in rows}
        if expected is None:
            assert {row.image_id for row in rows} == {held.image_id}
        else:
            assert all(name.startswith(term) for name in found)
            assert bool(found) == bool(expected)
    tag = Tag.objects.latest("pk")
    rows = staff.get(address(Tag, "changelist"), {"q": tag.digest[:19]}).context["cl"].queryset
    assert tag in rows
    assert {row.digest for row in rows} == {tag.digest}


def found(staff: Client, model: type[Model], term: str) -> list[Model]:
    return list(staff.get(address(model, "changelist"), {"q": term}).context["cl"].queryset)


def test_staff_search_numbers_of_what_a_row_belongs_to_as_a_whole(staff: Client) -> None:
    runs = [ScanRun.objects.create() for _ in range(12)]
    tag = factories.tag()
    scan = Scan.objects.create(pk=500, image=tag.image, tag=tag, manifest_digest=tag.digest, run=runs[0])
    first, last = (ScanSubscription.objects.create(run=run, scan=scan) for run in (runs[1], runs[-1]))
    assert found(staff, ScanSubscription, str(runs[1].pk)) == [first]
    assert set(found(staff, ScanSubscription, "500")) == {first, last}
    assert found(staff, ScanSubscription, "50") == []
    assert found(staff, ScanSubscription, "5" * 30) == []


def test_a_long_list_counts_no_further_than_it_must_and_says_so(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tags=120, images=10, seed=3, now=timezone.now())
    assert "120 tags" in staff.get(address(Tag, "changelist")).text
    monkeypatch.setattr(listing, "MAX_EXACT_COUNT_ROWS", 100)
    page = staff.get(address(Tag, "changelist"))
    assert "100+ tags: search or filter" in page.text
    assert page.context["cl"].paginator.num_pages == 2
