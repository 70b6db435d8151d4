"""The build history of an image: searched, narrowed, in an order, exported."""

from __future__ import annotations

import csv
import io

import pytest
from django.urls import reverse
from openpyxl import load_workbook

from console.models import AuditEvent
from inventory.models import Tag
from scanning.models.packages import SeverityRank
from tests import factories
from tests.people import signed_in_client

pytestmark = pytest.mark.django_db
PART = {"HX-Request": "true", "HX-Target": "findings", "HX-Trigger": "findings-q"}


@pytest.fixture
def tag() -> Tag:
    """A tag of five steps: the first and the third made layers, of which the third holds a virus and two secrets."""
    commands = ["ADD file:abc in /", "ENV LANG=C", "RUN apt-get install curl", "=cmd|'/c calc'!A0", "CMD sh"]
    image = factories.image(layers=2, history=[{"created_by": text} for text in commands], **factories.scanned())
    second = image.image_layers.order_by("position")[1]
    factories.malware(image, diff_id=second.diff_id)
    factories.secret(image, diff_id=second.diff_id, path="a")
    factories.secret(image, diff_id=second.diff_id, path="b")
    return factories.tag(of=image)


def shown(tag: Tag, **query: object) -> list[str]:
    """Return the commands that the tab shows, in its order."""
    url = reverse("scanning:history", args=[tag.pk])
    page = signed_in_client("viewer").get(url, query, headers=PART).context["page"]
    return [step.command.split()[0] for step in page.rows]


def test_steps_are_searched_narrowed_and_sorted(tag: Tag) -> None:
    assert shown(tag) == ["ADD", "ENV", "RUN", "=cmd|'/c", "CMD"]
    assert shown(tag, q="CURL install") == ["RUN"]
    assert shown(tag, holds="findings") == ["RUN"]
    assert shown(tag, holds="layer") == ["ADD", "RUN"]
    assert shown(tag, holds=["nothing", "findings"]) == ["ENV", "RUN", "=cmd|'/c", "CMD"]
    assert shown(tag, sort="-step") == ["CMD", "=cmd|'/c", "RUN", "ENV", "ADD"]
    assert shown(tag, sort="-findings")[0] == "RUN"
    assert shown(tag, holds="layer", sort="findings") == ["ADD", "RUN"]


def test_a_layer_is_found_by_its_digest(tag: Tag) -> None:
    assert tag.image
    second = tag.image.image_layers.order_by("position")[1]
    url = reverse("scanning:history", args=[tag.pk])
    (step,) = signed_in_client("viewer").get(url, {"holds": "findings"}, headers=PART).context["page"].rows
    assert step.digest
    assert shown(tag, q=step.digest[7:19]) == ["RUN"]
    assert step.layer.diff_id == second.diff_id


def test_filters_are_chips_in_the_address_and_what_cannot_be_is_left_out_with_a_notice(tag: Tag) -> None:
    url = reverse("scanning:history", args=[tag.pk])
    query = {"q": "run", "holds": ["layer", "nonsense"], "sort": "-nonsense"}
    response = signed_in_client("viewer").get(url, query, headers=PART)
    text = response.content.decode()
    assert response["HX-Replace-Url"].endswith("?tab=history&q=run&holds=layer")
    assert "“nonsense” is not a value of Contents and was ignored." in text
    assert "The list cannot be sorted by “-nonsense”." in text
    assert [chip.url for chip in response.context["page"].chips] == ["?holds=layer", "?q=run"]
    assert "<b>1</b> of 5 steps" in text
    assert "No step matches" in signed_in_client("viewer").get(url, {"q": "zzz"}, headers=PART).content.decode()


def test_what_matches_is_exported_with_numbers_and_without_formulas(tag: Tag) -> None:
    url = reverse("scanning:history-export", args=[tag.pk])
    client = signed_in_client("operator")
    whole = client.post(url, {"view": "?"})
    head, *rows = load_workbook(io.BytesIO(whole.content)).worksheets[0].iter_rows()
    assert [cell.value for cell in head][:5] == ["Step", "Command", "Layer", "Size", "Findings"]
    assert [[cell.value for cell in row[:2]] for row in rows][1:4:2] == [[2, "ENV LANG=C"], [4, "=cmd|'/c calc'!A0"]]
    assert {row[1].data_type for row in rows} == {"s"}
    assert [row[4].value for row in rows] == [0, None, 3, None, None]
    some = client.post(url, {"view": "?holds=findings", "format": "csv"})
    lines = list(csv.DictReader(io.StringIO(some.content.decode("utf-8-sig"))))
    assert [(line["Step"], line["Viruses and trojans"], line["Sensitive data"]) for line in lines] == [("3", "1", "2")]
    event = AuditEvent.objects.filter(action="export").latest("pk")
    assert event.detail["view"] == "holds=findings"
    assert signed_in_client("viewer").post(url).status_code == 403


def test_all_steps_of_a_long_history_are_exported_and_the_first_shown() -> None:
    image = factories.image(layers=1, history=[{"created_by": f"RUN {number}"} for number in range(700)])
    tag = factories.tag(of=image)
    assert len(shown(tag)) == 500
    text = signed_in_client("viewer").get(reverse("scanning:history", args=[tag.pk]), headers=PART).content.decode()
    assert "200 more steps are not shown; search, or export them." in text
    file = signed_in_client("operator").post(reverse("scanning:history-export", args=[tag.pk]), {"format": "csv"})
    assert len(file.content.decode().splitlines()) == 701


def test_severities_of_a_layer_are_counted_apart() -> None:
    image = factories.image(layers=2)
    factories.vulnerability(image, severity=SeverityRank.CRITICAL)
    tag = factories.tag(of=image)
    file = signed_in_client("operator").post(reverse("scanning:history-export", args=[tag.pk]), {"format": "csv"})
    lines = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
    assert sorted(line["Critical"] for line in lines if line["Layer"]) == ["0", "1"]
