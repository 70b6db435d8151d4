"""The form of a Tencent Cloud key."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from registries import addresses
from registries.connectors.regions import CCR_HOSTS
from registries.models import CloudAccount


def _secret_field(label: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class CloudAccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """Adds or changes a key. Stored secrets are never shown; an empty field keeps them."""

    secret_key = _secret_field(gettext_lazy("SecretKey"))
    pull_password = _secret_field(gettext_lazy("Registry password"))

    class Meta:
        model = CloudAccount
        fields = ("name", "secret_id", "endpoint", "regions", "pull_username")
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "secret_id": forms.TextInput(
                attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "AKID…"},
            ),
            "endpoint": forms.TextInput(
                attrs={"inputmode": "url", "spellcheck": "false", "placeholder": "https://tcr.tencentcloudapi.com"}
            ),
            "regions": forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "ap-guangzhou"}),
            "pull_username": forms.TextInput(
                attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "100012345678"}
            ),
        }
        help_texts = {
            "name": gettext_lazy("Name shown in this console. Must be unique; case is ignored."),
            "secret_id": gettext_lazy("API key of Tencent Cloud, not the docker login."),
            "endpoint": gettext_lazy("Empty: the public one, of the mainland or the international site."),
            "regions": gettext_lazy("One per line. Instances of TCR are found automatically in all regions."),
            "pull_username": gettext_lazy("The account ID (UIN)."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.was_secret_id, self.was_endpoint = self.instance.secret_id, self.instance.endpoint
        stored_note = gettext_lazy("Stored encrypted. Leave it empty to keep it.")
        self.fields["secret_key"].required = not self.instance.secret_key_token
        self.fields["secret_key"].help_text = stored_note if self.instance.secret_key_token else ""
        self.fields["pull_password"].help_text = (
            stored_note
            if self.instance.has_pull_password
            else gettext_lazy("Without it, images of the personal edition are listed but cannot be scanned.")
        )

        for field in self.fields.values():
            field.error_messages["required"] = _("Fill in “%(label)s”.") % {"label": field.label}

    def clean_name(self) -> str:
        """Return the name with single spaces; refuse one that another key has, whatever its case."""
        name = " ".join(str(self.cleaned_data["name"]).split())
        if CloudAccount.objects.exclude(pk=self.instance.pk).filter(name__iexact=name).exists():
            raise forms.ValidationError(_("Another key has this name."))
        return name

    def clean_secret_id(self) -> str:
        secret_id = str(self.cleaned_data["secret_id"])
        if not secret_id.isascii() or not secret_id.isalnum():
            raise forms.ValidationError(_("A SecretId contains only letters and digits, and begins with AKID."))
        return secret_id

    def clean_endpoint(self) -> str:
        """Return the normalised origin, "" for the public endpoint; refuse an address with a path."""
        typed = str(self.cleaned_data["endpoint"])
        if not typed:
            return ""
        try:
            address = addresses.normalise(
                typed, allowed_networks=settings.ALLOWED_NETWORKS, plain_http_hosts=settings.PLAIN_HTTP_HOSTS
            )
        except addresses.AddressError as error:
            raise forms.ValidationError(str(error)) from error
        if addresses.origin(address) != address:
            raise forms.ValidationError(_("The API endpoint has no path."))
        return address

    def clean_regions(self) -> str:
        """Return region names, one a line, without duplicates; refuse one without a personal edition."""
        names = list(dict.fromkeys(str(self.cleaned_data["regions"]).replace(",", " ").split()))
        for name in names:
            if name not in CCR_HOSTS.values():
                raise forms.ValidationError(
                    _("“%(name)s” has no personal edition. There is one in: %(regions)s.")
                    % {"name": name[:40], "regions": ", ".join(sorted(CCR_HOSTS.values()))}
                )
        return "\n".join(names)

    def clean(self) -> dict[str, Any]:
        """Check the fields together. The SecretKey must be typed again if SecretId or endpoint have changed."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("pull_password") and not cleaned.get("pull_username") and "pull_username" not in self.errors:
            self.add_error("pull_username", _("A password needs the username it belongs to."))
        if self.instance.pk and not cleaned.get("secret_key") and "secret_key" not in self.errors:
            if cleaned.get("secret_id", self.was_secret_id) != self.was_secret_id:
                self.add_error("secret_key", _("The SecretId has changed. Type its SecretKey too."))
            elif cleaned.get("endpoint", self.was_endpoint) != self.was_endpoint:
                self.add_error("secret_key", _("The endpoint has changed. Type the SecretKey again."))
        return cleaned

    def save(self, commit: bool = True) -> CloudAccount:
        """Return the key. Secrets left empty stay as stored; without a user, the password for pulling is removed."""
        account: CloudAccount = super().save(commit=False)
        if self.cleaned_data["secret_key"]:
            account.set_secret_key(self.cleaned_data["secret_key"])
        if self.cleaned_data["pull_password"]:
            account.set_pull_password(self.cleaned_data["pull_password"])
        elif not account.pull_username:
            account.set_pull_password("")
        if commit:
            account.save()
        return account
