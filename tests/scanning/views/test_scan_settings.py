"""Scanning settings: the two lists, what a scan takes, starting it, and the quota."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from console.jobs.models import State
from console.models import AuditEvent, Team, User
from inventory.models import Image, Layer, Tag
from registries.models import PullUnit
from scanning import configured_engines
from scanning.engines.clamav.engine import ClamAv
from scanning.models import LayerResult, Scan, ScanRun, Selection
from scanning.runs import estimate as runs_estimate
from scanning.runs import image_picker, monthly_quota, recommended
from scanning.runs.start import MAX_TAGS_IN_REQUEST
from tests import factories
from tests.people import person
from tests.scanning.engines.clamav.test_engine import answering

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
PAGE = reverse("scanning:settings")
ALL = ["vulnerabilities", "sensitive", "malware"]


@pytest.fixture
def somebody(client: Client) -> User:
    user = person("operator")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    client.get(reverse("scanning:run-list"))  # what the console remembers of its own health is read once
    return user


def selection(user: User) -> Selection:
    return image_picker.selection_of(user, "scan")


def shown(html: str, side: str) -> list[int]:
    form = re.search(rf'<form class="pick" id="pick-{side}".*?</form>', html, re.DOTALL)
    assert form
    return [int(pk) for pk in re.findall(r'name="ids" value="(\d+)"', form[0])]


# --- the lists -------------------------------------------------------------------------------------------------------


def test_images_move_between_the_lists(client: Client, somebody: User) -> None:
    registry = factories.registry()
    tags = [factories.tag(f"v{index}", path="team/app", in_=registry) for index in range(3)]
    url = reverse("scanning:chooser", args=[selection(somebody).pk])
    html = client.post(url, {"move": "right", "ids": [tags[0].pk, tags[2].pk]}, headers=HTMX).content.decode()
    assert (shown(html, "left"), shown(html, "right")) == ([tags[1].pk], [tags[0].pk, tags[2].pk])
    html = client.post(url, {"move": "left", "ids": [tags[0].pk]}, headers=HTMX).content.decode()
    assert shown(html, "right") == [tags[2].pk]
    assert set(selection(somebody).tags.all()) == {tags[2]}


def test_all_that_a_search_finds_move_at_once_and_each_list_has_a_search_of_its_own(
    client: Client, somebody: User
) -> None:
    wanted = [factories.tag(f"v{index}", path="team/api") for index in range(60)]
    factories.tag("other", path="else/where")
    url = reverse("scanning:chooser", args=[selection(somebody).pk])
    html = client.get(url, {"left-q": "team/api"}, headers=HTMX).content.decode()
    assert len(shown(html, "left")) == image_picker.PAGE_ROWS
    html = client.post(url, {"move": "right", "all": "1", "left-q": "team/api"}, headers=HTMX).content.decode()
    assert set(selection(somebody).tags.all()) == set(wanted)
    html = client.get(url, {"right-q": "v59", "left-q": ""}, headers=HTMX).content.decode()
    assert shown(html, "right") == [wanted[59].pk]
    assert len(shown(html, "left")) == 1


def test_lists_have_pages_and_a_new_search_begins_with_the_first(client: Client, somebody: User) -> None:
    for index in range(image_picker.PAGE_ROWS + 3):
        factories.tag(f"v{index:02}", path="team/api")
    url = reverse("scanning:chooser", args=[selection(somebody).pk])
    html = client.get(url, {"left-page": "2"}, headers=HTMX).content.decode()
    assert len(shown(html, "left")) == 3
    html = client.get(url, {"left-page": "2", "left-was": "", "left-q": "api"}, headers=HTMX).content.decode()
    assert len(shown(html, "left")) == image_picker.PAGE_ROWS
    for nonsense in ("0", "-1", "99999999999999", "x"):
        assert client.get(url, {"left-page": nonsense}, headers=HTMX).status_code == 200


def test_without_scripts_one_comes_back_to_the_page(client: Client, somebody: User) -> None:
    tag = factories.tag()
    url = reverse("scanning:chooser", args=[selection(somebody).pk])
    response = client.post(url, {"move": "right", "ids": [tag.pk], "back": PAGE, "left-q": "app"})
    assert response.url == f"{PAGE}?scope=chosen&keep=1&left-q=app"
    assert shown(client.get(response.url).content.decode(), "right") == [tag.pk]
    assert client.post(url, {"back": "//evil.test/"}).url.startswith("/?")


def test_nobody_moves_what_somebody_else_chooses(client: Client, somebody: User) -> None:
    other = image_picker.selection_of(person("administrator"), "scan")
    assert client.post(reverse("scanning:chooser", args=[other.pk]), {"move": "right"}).status_code == 404


def test_the_lists_have_a_constant_number_of_queries(client: Client, somebody: User) -> None:
    counts = []
    selection(somebody)
    for _round in range(2):
        for index in range(20):
            factories.tag(f"v{index}")
        selection(somebody).add(Tag.objects.filter(name__lt="v05"))
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_selected_of_the_list_of_images_are_taken_along(client: Client, somebody: User) -> None:
    wanted = [factories.tag(f"v{index}", path="team/api") for index in range(3)]
    factories.tag("other", path="else/where")
    response = client.post(reverse("scanning:select"), {"all": "1", "view": "?q=team/api"})
    assert response.url == f"{PAGE}?scope=chosen"
    assert set(selection(somebody).tags.all()) == set(wanted)
    client.post(reverse("scanning:select"), {"ids": [wanted[0].pk], "view": ""})
    assert set(selection(somebody).tags.all()) == {wanted[0]}


def test_any_number_of_images_is_chosen_and_started_in_a_constant_number_of_queries(
    client: Client, somebody: User
) -> None:
    counts = []
    for number in (MAX_TAGS_IN_REQUEST + 1, 2 * MAX_TAGS_IN_REQUEST):
        registry = factories.registry()
        for index in range(number):
            factories.tag(f"v{index}", path="team/app", in_=registry, of=factories.image(layers=0))
        url = reverse("scanning:chooser", args=[selection(somebody).pk])
        with CaptureQueriesContext(connection) as queries:
            client.post(url, {"move": "right", "all": "1"}, headers=HTMX)
            client.post(PAGE, {"categories": ["malware"], "timeout": "5", "scope": "chosen"})
        counts.append(len(queries))
        run = ScanRun.objects.first()
        assert run is not None
        assert run.chosen.count() == Tag.objects.count()
    assert counts[0] == counts[1]


def test_none_is_chosen_of_none(somebody: User) -> None:
    selection(somebody).add(Tag.objects.none())
    assert not selection(somebody).tags.exists()


# --- starting --------------------------------------------------------------------------------------------------------


def test_scan_now_starts_what_the_form_says(client: Client, somebody: User) -> None:
    chosen, _other = factories.tag(), factories.tag()
    selection(somebody).add(Tag.objects.filter(pk=chosen.pk))
    response = client.post(PAGE, {"categories": ["malware"], "timeout": "12", "scope": "chosen"})
    assert response.url == reverse("inventory:image-list")
    assert [str(message) for message in get_messages(response.wsgi_request)] == ["1 scan queued"]
    scan = Scan.objects.get()
    assert (scan.tag, scan.timeout, scan.categories, scan.requested_by) == (chosen, 720, ["malware"], somebody)
    assert AuditEvent.objects.get(action="scan.start").detail["queued"] == 1
    assert not selection(somebody).tags.exists()


def test_recommended_and_all_are_left_to_the_job(client: Client, somebody: User) -> None:
    factories.tag()
    for scope in ("recommended", "all"):
        client.post(PAGE, {"categories": ALL, "timeout": "30", "scope": scope})
        assert ScanRun.objects.first().scope == scope
        assert ScanRun.objects.first().state == State.QUEUED
    html = client.get(reverse("scanning:progress")).content.decode()
    assert "Queueing scans" in html


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"categories": []}, "at least one risk category"),
        ({"categories": ["nonsense"]}, "nonsense"),
        ({"timeout": "0"}, "greater than or equal to 1"),
        ({"timeout": "61"}, "less than or equal to 60"),
        ({"scope": "none"}, "none"),
        ({"scope": "chosen"}, "Choose at least one image"),
    ],
)
def test_what_is_not_right_is_said_and_starts_nothing(
    client: Client, somebody: User, change: dict[str, object], says: str
) -> None:
    factories.tag()
    response = client.post(PAGE, {"categories": ALL, "timeout": "30", "scope": "all"} | change)
    assert response.status_code == 422
    assert says in response.content.decode()
    assert not ScanRun.objects.exists()


def test_where_there_are_no_images_the_page_does_not_say_that_all_results_are_fresh(
    client: Client, somebody: User
) -> None:
    for html in (
        client.get(PAGE).text,
        client.post(PAGE, {"scope": "recommended", "categories": ALL, "timeout": "30"}).text,
    ):
        assert "There are no images yet. Sync a registry first." in html
        assert "all results are up to date" not in html


def test_viewers_see_neither_settings_nor_lists(client: Client) -> None:
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    for url in (PAGE, reverse("scanning:cost"), reverse("scanning:quota"), reverse("scanning:chooser", args=[1])):
        assert client.get(url).status_code == 403


def test_a_selection_that_holds_the_same_already_is_not_written_anew(somebody: User) -> None:
    tags = [factories.tag(f"v{index}", path="team/app") for index in range(3)]
    chosen = selection(somebody)
    for wanted, writes in ((tags[:2], True), (tags[:2], False), (tags[1:], True), (tags[1:2], True), ([], True)):
        with CaptureQueriesContext(connection) as queries:
            chosen.replace(Tag.objects.filter(pk__in=[tag.pk for tag in wanted]))
        assert list(chosen.chosen()) == wanted
        assert any("INSERT" in query["sql"] or "DELETE" in query["sql"] for query in queries) == writes


# --- what it takes ---------------------------------------------------------------------------------------------------


def test_the_preview_counts_images_layers_and_bytes_that_no_engine_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = factories.image(layers=2)  # of 1,000 and 2,000 bytes
    factories.tag("a", of=shared)
    factories.tag("b", of=shared)
    factories.tag("c", of=factories.image(layers=1))
    busy = factories.tag("d", of=factories.image(scan_state="queued"))
    known = Layer.objects.get(diff_id=shared.image_layers.get(position=0).diff_id)
    yara = configured_engines.yara()
    LayerResult.objects.create(diff_id=known.diff_id, engine=yara.name, engine_version=yara.version())
    found = runs_estimate.estimate_scan(Tag.objects.all(), categories=["malware"])
    assert (found.tags, found.left_out, found.images) == (4, 1, 2)
    assert (found.layers, found.layers_known, found.to_pull) == (3, 0, 4000), "a diff ID that no pull has proven"
    Layer.objects.update(verified=True)
    found = runs_estimate.estimate_scan(Tag.objects.all(), categories=["malware"])
    assert (found.layers_known, found.to_pull) == (1, 3000)
    assert runs_estimate.estimate_scan(Tag.objects.all(), categories=ALL).layers_known == 0, "Trivy has not seen it"
    for address in answering(b"1: ClamAV 1.4.6\0"):
        engines = yara, ClamAv(address=address, max_file_bytes=1)
        monkeypatch.setattr(configured_engines, "malware_engines", lambda engines=engines: engines)
        assert runs_estimate.estimate_scan(Tag.objects.all(), categories=["malware"]).layers_known == 0, (
            "nor has ClamAV"
        )
    assert runs_estimate.estimate_scan(Tag.objects.filter(pk=busy.pk), categories=ALL).images == 0


@pytest.mark.parametrize("categories", [["malware"], ["vulnerabilities"], ["sensitive"], ["sensitive", "malware"], ALL])
@pytest.mark.parametrize("scope", ["all", "recommended"])
def test_kept_figures_of_a_whole_scope_are_those_that_counting_gives(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, scope: str, categories: list[str]
) -> None:
    settings.KEPT_FROM_SECONDS = 0
    engines = {"trivy": "", configured_engines.yara().name: configured_engines.yara().version()}
    registries = [factories.registry(name=name) for name in ("one", "two")]
    for number in range(12):
        values = factories.scanned() if number % 3 else {"scan_state": "queued" if number == 3 else "not-scanned"}
        image = factories.image(layers=1 + number % 3, **values)
        for place in range(1 + number % 2):
            factories.tag(f"{number}-{place}", of=image, in_=registries[(number + place) % 2])
        layer = Layer.objects.order_by("-pk")[0]
        Layer.objects.filter(pk=layer.pk).update(verified=number % 4 > 0)
        for name, version in list(engines.items())[: number % 3]:
            LayerResult.objects.get_or_create(diff_id=layer.diff_id, engine=name, engine_version=version)
    tags = Tag.objects.all() if scope == "all" else recommended.recommended()
    counted = runs_estimate.estimate_scan(tags, categories=categories)
    monkeypatch.setattr(runs_estimate, "FEW_IMAGES", 1)  # as of more images than are looked up one by one
    first, again = (
        runs_estimate.estimate_scan(tags, categories=categories, cached_as=runs_estimate.CACHED_COUNT_NAMES[scope])
        for _n in range(2)
    )
    assert first.counted_at is None
    assert again.counted_at is not None
    for each in (first, again):
        each = replace(each, counted_at=None, ends_at=counted.ends_at)
        assert each == counted
    assert 0 < counted.images < counted.tags
    assert scope == "recommended" or 0 < counted.layers_known < counted.layers


def test_the_page_says_when_kept_figures_were_counted_and_shows_the_limited_their_own(
    client: Client, somebody: User, settings: Settings
) -> None:
    settings.KEPT_FROM_SECONDS = 0
    here, there = factories.registry(name="here"), factories.registry(name="there")
    for name in ("a", "b"):
        factories.tag(name, in_=there, path=f"team/{name}")
    factories.tag("c", in_=here)
    url, form = reverse("scanning:cost"), {"scope": "all", "categories": ["malware"], "timeout": "30"}
    assert "Counted" not in client.get(url, form).content.decode()
    factories.tag("d", in_=here, path="later")
    kept = client.get(url, form)
    assert kept.context["cost"].tags == 3
    assert "Counted <time" in kept.content.decode()
    somebody.limited = True
    somebody.save()
    team = Team.objects.create(name="team")
    team.registries.set([here])
    somebody.teams.add(team)
    own = client.get(url, form).context["cost"]
    assert (own.tags, own.images, own.layers, own.counted_at) == (2, 2, Layer.objects.count() // 2, None)
    chosen = client.get(url, form | {"scope": "chosen"}).context["cost"]
    assert (chosen.tags, chosen.counted_at) == (0, None), "what is chosen is counted each time"


def test_the_preview_says_what_the_limits_make_of_it() -> None:
    now = timezone.now()
    slow, fast = factories.registry(name="slow", limit=5), factories.registry(name="fast")
    for index in range(12):
        factories.tag(f"v{index}", in_=slow)
        factories.tag(f"v{index}", in_=fast)
    for minutes in (50, 20):
        PullUnit.objects.create(registry=slow, image_id=factories.digest(), taken_at=now - timedelta(minutes=minutes))
    found = runs_estimate.estimate_scan(Tag.objects.all(), categories=ALL, now=now)
    (wait,) = found.waits
    assert (wait.registry, wait.limit, wait.left, wait.images) == ("slow", 5, 3, 9)
    assert now + timedelta(minutes=60) <= wait.until <= now + timedelta(hours=3)
    assert found.ends_at is None, "nothing has been scanned to judge by"
    done = factories.tag()
    Scan.objects.create(
        image=done.image,
        tag=done,
        manifest_digest=done.digest,
        address=str(done),
        state=State.SUCCEEDED,
        started_at=now - timedelta(seconds=60),
        ended_at=now,
    )
    assert runs_estimate.estimate_scan(
        Tag.objects.filter(pk=done.pk), categories=ALL, now=now
    ).ends_at <= now + timedelta(minutes=2)
    assert runs_estimate.estimate_scan(Tag.objects.all(), categories=ALL, now=now).ends_at >= wait.until


def test_the_preview_has_a_constant_number_of_queries_and_follows_the_form(client: Client, somebody: User) -> None:
    counts = []
    selection(somebody)
    for _round in range(2):
        for index in range(10):
            factories.tag(f"v{index}", in_=factories.registry(limit=5))
        with CaptureQueriesContext(connection) as queries:
            html = client.get(reverse("scanning:cost"), {"scope": "all", "categories": ALL}).content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert "<dd>20</dd>" in html
    html = client.get(reverse("scanning:cost"), {"scope": "chosen", "categories": ALL}).content.decode()
    assert "<dd>0</dd>" in html
    for nonsense in ({}, {"scope": "x"}, {"scope": "all", "categories": ["x"]}):
        assert "Choose a risk category" in client.get(reverse("scanning:cost"), nonsense).content.decode()


def test_the_quota_is_set_by_administrators_and_shown_in_the_preview(client: Client, somebody: User) -> None:
    assert client.post(reverse("scanning:quota"), {"monthly_quota": "1"}).status_code == 403
    client.force_login(person("administrator"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(reverse("scanning:quota"), {"monthly_quota": "-1"}).status_code == 422
    client.post(reverse("scanning:quota"), {"monthly_quota": "1"})
    assert monthly_quota.read_quota() == monthly_quota.ScanQuota(limit=1, used=0)
    factories.tag("a")
    factories.tag("b")
    html = client.get(reverse("scanning:cost"), {"scope": "all", "categories": ALL}).content.decode()
    assert "1 of 1 remaining" in html
    assert "1 image is over the quota" in html
    client.post(reverse("scanning:quota"), {"monthly_quota": ""})
    assert monthly_quota.read_quota() is None
    assert AuditEvent.objects.filter(action="quota.change").count() == 2


def test_an_image_that_is_gone_leaves_the_selection(somebody: User) -> None:
    tag = factories.tag()
    selection(somebody).add(Tag.objects.all())
    tag.delete()
    assert image_picker.read_picker(selection(somebody), {}).right.rows == []
    assert Image.objects.count() == 1
