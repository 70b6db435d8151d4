"""The form "Add image repository". What each type of registry asks for stands in one table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from django import forms
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from registries import addresses
from registries.models import Registry

LIMITS = (5, 10, 20, 50, 100, 500, 1000)
PEM_CHARACTERS = 200_000
REPOSITORIES = 10_000
# name = path-component *( "/" path-component ): distribution-spec 1.1, "Pulling manifests"
REPOSITORY = re.compile(r"(?=.{1,255}$)[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")


@dataclass(frozen=True)
class TypeFields:
    """What the form shows for one type of registry."""

    networks: tuple[str, ...] = (Registry.Network.PUBLIC,)
    regions: tuple[tuple[str, str | Promise], ...] = (("", gettext_lazy("Default region")),)
    versions: tuple[str, ...] = ()
    fixed_repositories: bool = False  # whether a list may stand in for the registry's own


TYPES: dict[str, TypeFields] = {
    Registry.Type.OCI: TypeFields(fixed_repositories=True),
}


class RegistryForm(forms.ModelForm):  # type: ignore[type-arg]
    """Adds or changes a registry. The stored password is never shown; an empty field keeps it."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        max_length=10_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    limit = forms.TypedChoiceField(
        label=gettext_lazy("Limit"),
        choices=[("", gettext_lazy("Unlimited")), *((str(number), f"{number:,}") for number in LIMITS)],
        coerce=int,
        empty_value=None,
        required=False,
        help_text=gettext_lazy("What exceeds it waits in the queue."),
    )

    class Meta:
        model = Registry
        fields = (
            *("name", "type", "version", "network", "region", "address", "username"),
            *("limit", "verify_tls", "ca_bundle", "repositories"),
        )
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "address": forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
            "username": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "ca_bundle": forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
            "repositories": forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        }
        help_texts = {
            "name": gettext_lazy("How the console calls it. Each name is used once, upper or lower case."),
            "address": gettext_lazy("https://host[:port][/prefix]"),
            "username": gettext_lazy("Empty where the registry lets everybody read."),
            "ca_bundle": gettext_lazy("In PEM, for a registry with certificates of your own authority."),
            "repositories": gettext_lazy("One a line. Empty: the registry is asked for its catalog."),
        }
        error_messages = {"name": {"required": gettext_lazy("Give it a name.")}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.was_address = self.instance.address
        kind = (self.data.get("type") if self.is_bound else None) or self.instance.type
        shown = TYPES.get(kind, TYPES[Registry.Type.OCI])
        offered = [*TYPES, *({self.instance.type} if self.instance.pk else ())]
        self._choose("type", [choice for choice in Registry.Type.choices if choice[0] in offered])
        self._choose("network", [choice for choice in Registry.Network.choices if choice[0] in shown.networks])
        self._choose("region", list(shown.regions))
        if shown.versions:
            self._choose("version", [choice for choice in Registry.Version.choices if choice[0] in shown.versions])
        else:
            del self.fields["version"]
        if not shown.fixed_repositories:
            del self.fields["repositories"]
        if self.instance.has_password:
            self.fields["password"].help_text = _("Stored encrypted. Leave it empty to keep it.")

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        self.fields[name] = forms.ChoiceField(
            label=field.label, choices=choices, required=field.required, initial=choices[0][0]
        )

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if name_is_taken(name, but=self.instance.pk):
            raise forms.ValidationError(_("Another registry has this name."))
        return name

    def clean_address(self) -> str:
        try:
            return addresses.normalise(
                self.cleaned_data["address"],
                allowed_networks=settings.ALLOWED_NETWORKS,
                plain_http_hosts=settings.PLAIN_HTTP_HOSTS,
            )
        except addresses.AddressError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_ca_bundle(self) -> str:
        text = str(self.cleaned_data["ca_bundle"]).strip()
        if not text:
            return ""
        if len(text) > PEM_CHARACTERS:
            raise forms.ValidationError(_("This is too long for a bundle. Paste only the certificates needed."))
        if "PRIVATE KEY-----" in text:
            raise forms.ValidationError(_("This holds a private key. Paste certificates only, and guard that key."))
        try:
            x509.load_pem_x509_certificates(text.encode())
        except ValueError as error:
            raise forms.ValidationError(
                _("No certificate can be read. Each begins with -----BEGIN CERTIFICATE-----.")
            ) from error
        return text

    def clean_repositories(self) -> str:
        names = list(dict.fromkeys(line.strip().strip("/") for line in self.cleaned_data["repositories"].splitlines()))
        names = [name for name in names if name]
        for name in names:
            if not REPOSITORY.fullmatch(name):
                raise forms.ValidationError(
                    _("“%(name)s” is no repository. Write it as in “team/app”, without host and tag.")
                    % {"name": name[:80]}
                )
        if len(names) > REPOSITORIES:
            raise forms.ValidationError(_("At most %(n)d repositories fit here.") % {"n": REPOSITORIES})
        return "\n".join(names)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        username, password = cleaned.get("username", ""), cleaned.get("password", "")
        if password and not username and "username" not in self.errors:
            self.add_error("username", _("A password needs the username it belongs to."))
        stays = self.instance.has_password and username and not password
        address = cleaned.get("address")
        if stays and address and addresses.origin(address) != addresses.origin(self.was_address):
            self.add_error(
                "password",
                _("The address leads elsewhere now. Type the password again: the stored one is not sent there."),
            )
        return cleaned

    def save(self, commit: bool = True) -> Registry:
        registry: Registry = super().save(commit=False)
        if self.cleaned_data["password"]:
            registry.set_password(self.cleaned_data["password"])
        elif not registry.username:
            registry.set_password("")
        if {"address", "username", "password", "verify_tls", "ca_bundle"}.intersection(self.changed_data):
            registry.connection = Registry.Connection.UNKNOWN
            registry.connection_reason = registry.connection_remedy = ""
            registry.connection_checked_at = None
        if commit:
            registry.save()
        return registry


def name_is_taken(name: str, *, but: int | None = None) -> bool:
    """Return whether a registry other than the one with the key ``but`` has this name, in upper or lower case."""
    others = Registry.objects.exclude(pk=but) if but else Registry.objects.all()
    return others.filter(name__iexact=name).exists()


class DeleteForm(forms.Form):
    """Deletes a registry whose name somebody has typed."""

    name = forms.CharField(required=False, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}))

    def __init__(self, *args: Any, registry: Registry, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.registry = registry
        self.fields["name"].label = _("Type “%(name)s” to confirm") % {"name": registry.name}

    def clean_name(self) -> str:
        if self.cleaned_data["name"].strip() != self.registry.name:
            raise forms.ValidationError(_("This is not the name. Nothing was deleted."))
        return self.registry.name
