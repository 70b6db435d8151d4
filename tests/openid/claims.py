"""What the provider says of people beside who they are."""

from __future__ import annotations

from typing import Any

from oauth2_provider.oauth2_validators import OAuth2Validator


class Claims(OAuth2Validator):
    """Adds name and groups, as every user of the toolkit has to who wants them."""

    oidc_claim_scope = OAuth2Validator.oidc_claim_scope | {"groups": "profile"}

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        """Return name, address and groups of who has signed in."""
        return {
            "preferred_username": request.user.username,
            "email": request.user.email,
            "groups": list(request.user.groups.values_list("name", flat=True)),
        }
