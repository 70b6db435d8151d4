"""What tests of registries share."""

from __future__ import annotations

import pytest

from registries.models import Registry


@pytest.fixture
def lab() -> Registry:
    """A registry that answers nowhere."""
    return Registry.objects.create(name="lab", address="https://registry.example.com")
