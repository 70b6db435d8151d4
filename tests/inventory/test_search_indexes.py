"""What the search box of Repository images finds."""

from __future__ import annotations

import pytest

from inventory.filters import ImageFilters
from inventory.models import Tag
from tests import factories


@pytest.mark.django_db
def test_the_beginning_of_an_image_id_or_a_digest_finds_all_tags_of_it() -> None:
    image = factories.image()
    first, second = factories.tag(of=image), factories.tag(of=image)
    other = factories.tag()
    digits = image.image_id.removeprefix("sha256:")

    def found(word: str) -> set[Tag]:
        return set(ImageFilters({"q": word}, queryset=Tag.objects.all()).qs)

    assert found(digits[:12]) == found(f"sha256:{digits[:12].upper()}") == {first, second}
    assert found(other.digest) == {other}
