"""Text that comes from registries and images stays text: whatever it says, a page has the same elements as without it.

Each page is drawn once with harmless words and once with each attack in all places where words from outside stand. The
elements and the names of their attributes must be the same, and no address may be one that runs code.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from inventory.models import Image, Tag
from registries.models import Registry, SyncRun
from scanning.models import ScanRun
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    '" hx-get="/sign-out/" hx-trigger="load" x="',
    '"><div hx-post="/scans/start/" hx-trigger="load">',
    "<div hx-on::load=alert(1)>",
    "<a data-hx-get=/x>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "\tjavascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "--><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><input name=password>",
    "<object data=//evil.example>",
    "<math><mi xlink:href='javascript:alert(1)'>",
    "<template><script>alert(1)</script></template>",
    "{{ settings.SECRET_KEY }}",
    "{% debug %}",
    "${7*7}#{7*7}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "\u202e<script>\u202d",
    "\ufeff<script>alert(1)</script>",
    "＜script＞alert(1)＜/script＞",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "a\r\nSet-Cookie: x=1\r\n\r\n<script>",
    "`-alert(1)-`",
]  # fmt: skip
URLS = ("href", "src", "action", "formaction", "hx-get", "hx-post", "data", "srcdoc", "xlink:href")


class Shape(HTMLParser):
    """Elements of a page with the names of their attributes, and the addresses in them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.urls: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _value in attrs)))
        self.urls += [value or "" for name, value in attrs if name in URLS]

    handle_startendtag = handle_starttag


@pytest.fixture(scope="module")
def shapes() -> dict[str, Any]:
    return {}


def draw(words: str) -> dict[str, Shape]:
    """Draw every page with ``words`` in all places where words from outside stand."""
    word = words.replace("\r", "").replace("\n", " ")
    registry = factories.registry(
        name="lab", connection="failed", connection_reason=words, connection_remedy=words, username=word
    )
    image = factories.image(
        **factories.scanned(critical=1, viruses=1, sensitive=1, packages=1) | {"os_name": word[:60]},
        history=[{"created_by": words, "comment": words, "author": words, "empty_layer": False}] * 3,
    )
    tag = factories.tag(word[:120], of=image, in_=registry, path=f"team/{word[:100]}")
    factories.vulnerability(
        image,
        package=word[:80],
        name=word[:60],
        title=words,
        description=words,
        references=[words, "https://example.com/"],
        fixed_version=word[:60],
        path=words[:200],
    )
    factories.malware(image, path=words, rule=word[:80], family=word[:80], description=words)
    factories.secret(image, path=words, rule=word[:80], title=word[:80], category=word[:40], masked=words)
    for category in ("vulnerabilities", "malware", "sensitive"):
        factories.result(image, category, reason=words, remedy=words)
    run = SyncRun.objects.create(registry=registry, state="failed", reason=words, remedy=words)
    Registry.objects.filter(pk=registry.pk).update(last_sync=run)
    scan_run = ScanRun.objects.create(skipped={words: 1})
    client = Client()
    client.force_login(person("administrator", username="boss", is_staff=True, is_superuser=True))
    tabs = ("vulnerabilities", "malware", "sensitive", "packages", "history")
    urls = {
        "images": "/images/",
        "image": f"/images/{tag.pk}/",
        **{tab: f"/scans/images/{tag.pk}/{tab}/" for tab in tabs},
        "registries": "/registries/",
        "registry": f"/registries/{registry.pk}/",
        "edit": f"/registries/{registry.pk}/edit/",
        "syncs": "/registries/syncs/",
        "run": f"/scans/runs/{scan_run.pk}/",
        "runs": "/scans/runs/",
        "settings": "/scans/settings/?scope=chosen",
        "admin image": f"/admin/inventory/image/{image.pk}/change/",
        "admin tag": f"/admin/inventory/tag/{tag.pk}/change/",
    }
    found = {}
    for name, url in urls.items():
        answer = client.get(url)
        assert answer.status_code == 200, (name, answer.status_code)
        assert "Set-Cookie: x=1" not in str(answer.headers)
        found[name] = Shape(answer.content.decode())
    search = client.get("/images/", {"q": words, "sort": words, "size": words, "page": words, "status": words})
    found["search"] = Shape(search.content.decode())
    for model in (Tag, Image, Registry):
        assert model.objects.exists()
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_from_outside_stays_text(attack: str, shapes: dict[str, Any]) -> None:
    if not shapes:
        from django.db import transaction

        with transaction.atomic():
            point = transaction.savepoint()
            shapes.update(draw("harmless"))
            transaction.savepoint_rollback(point)
    drawn = draw(attack)
    for name, shape in drawn.items():
        bad = [url for url in shape.urls if url.strip().lower().startswith(("javascript:", "data:text", "vbscript:"))]
        assert not bad, name
        assert not [url for url in shape.urls if "evil.example" in url and url.lstrip().startswith(("//", "http"))], (
            name
        )
        harmless = set(shapes[name].elements)
        added = [element for element in shape.elements if element not in harmless]
        assert not [one for one in added if is_dangerous(*one)], (name, added)


def is_dangerous(tag: str, attributes: tuple[str, ...]) -> bool:
    """Whether an element that the harmless page has not could do something."""
    harmful = {
        "script",
        "iframe",
        "object",
        "base",
        "meta",
        "style",
        "math",
        "embed",
        "template",
        "img",
        "div",
        "input",
    }
    active = [name for name in attributes if name.startswith(("on", "hx-", "data-hx", "style", "src"))]
    return tag in harmful or bool(active)


def test_an_element_that_gets_through_is_seen() -> None:
    assert is_dangerous("script", ())
    assert is_dangerous("a", ("href", "onclick"))
    assert Shape('<a href="javascript:x">').urls == ["javascript:x"]
