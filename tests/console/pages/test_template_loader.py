"""The lines of templates: what a line break means, and what it leaves alone."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.template.loader import get_template
from django.utils import translation

from console.pages.template_loader import join_lines


@pytest.mark.parametrize(
    ("source", "joined"),
    [
        ("<p>\n  <b>1</b>\n  <i>2</i>\n</p>\n", "<p><b>1</b><i>2</i></p>"),
        ("{% if a %}\n  {{ a }}\n{% else %}\n  –\n{% endif %}\n", "{% if a %}{{ a }}{% else %}–{% endif %}"),
        ("<b>1</b> <i>2</i>", "<b>1</b> <i>2</i>"),
        ("<b>\n  {{ n }} %\n</b> · <i>\n  left\n</i>", "<b>{{ n }} %</b> · <i>left</i>"),
        ("<p>\n  two words\n  and more\n\n</p>", "<p>two words and more</p>"),
    ],
)
def test_a_line_break_next_to_a_tag_means_nothing_and_between_words_a_space(source: str, joined: str) -> None:
    assert join_lines(source) == joined
    assert join_lines(joined) == joined


@pytest.mark.parametrize(
    ("source", "joined"),
    [
        ('<a\n  class="btn"\n  href="/"\n>x</a>', '<a class="btn" href="/">x</a>'),
        ('<input\n  name="a"\n/>', '<input name="a"/>'),
        ("<a\n   {% if a > 1 %}hidden{% endif %}>x</a>", "<a {% if a > 1 %}hidden{% endif %}>x</a>"),
        ('<a title="{% if a > 1 %}\n  one\n  {% endif %}">', '<a title="{% if a > 1 %}one{% endif %}">'),
        ('<a title="a > b\n  two" href="{% url "x" %}">', '<a title="a > b two" href="{% url "x" %}">'),
        ("<a data='[1,\n  2]'>", "<a data='[1, 2]'>"),
        ("<!doctype html>\n<html>", "<!doctype html><html>"),
    ],
)
def test_the_attributes_of_a_tag_may_stand_on_lines_of_their_own(source: str, joined: str) -> None:
    assert join_lines(source) == joined
    assert join_lines(joined) == joined


@pytest.mark.parametrize(
    "source",
    [
        "{% blocktranslate %}One\n  <b>text</b>\n{% endblocktranslate %}",
        '<a title="{% blocktranslate trimmed %}\n  One\n  "text"\n{% endblocktranslate %}">',
        "{% comment %}\nWhy <b>\nit is so.\n{% endcomment %}",
        '<pre class="code">{\n  "a": 1}\n</pre>',
        "<textarea>\n{{ text }}\n</textarea>",
        "<!-- one\n two -->",
        "1 < 2 and {% widthratio 1 2 3 %}",
    ],
)
def test_texts_to_translate_and_what_shows_its_lines_are_left_alone(source: str) -> None:
    assert join_lines(source) == source
    assert join_lines(f"<p>\n{source}\n</p>") == f"<p>{source}</p>"


def test_a_text_on_several_lines_is_translated_as_if_it_stood_on_one() -> None:
    lines = "{% load i18n %}{% blocktranslate trimmed %}\n  Your role does not\n  allow this.\n{% endblocktranslate %}"
    with translation.override("zh-hans"):
        rendered = Template(join_lines(lines)).render(Context())
        assert rendered == translation.gettext("Your role does not allow this.") != "Your role does not allow this."


def test_templates_of_the_console_are_joined_and_those_of_django_are_as_they_came() -> None:
    assert "\n" not in get_template("components/field.html").template.source
    assert "\n" in get_template("admin/change_list.html").template.source
