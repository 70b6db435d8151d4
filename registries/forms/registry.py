"""The form "Add image repository". What each type of registry asks for is what its connector declares."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from cryptography import x509
from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.i18n.message_codes import sentences
from console.i18n.messages import translate_message
from registries import addresses, vendor_addresses
from registries.connectors import DECLARATIONS
from registries.connectors.base import Declaration
from registries.connectors.distribution import parse_repository_list
from registries.connectors.ecr import ROLE_ARN_PATTERN
from registries.forms.choice import CHOICE_HELP_TEXTS, clean_patterns, clean_positive
from registries.models import Registry
from registries.oci.errors import AddressInvalid

HOST_PATTERN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LIMIT_CHOICES = (5, 10, 20, 50, 100, 500, 1000)
MAX_PEM_CHARACTERS = 200_000
MAX_REPOSITORIES = 10_000
# Fields that only some types have; those of all types are name, type, network, region, limit and the certificates.
TYPE_SPECIFIC_FIELDS = (
    *("address", "username", "password", "pull_username", "pull_password", "token_service", "role", "endpoint"),
    "repositories",
)
SECRET_FIELDS: Mapping[str, Callable[[Registry], bool]] = {  # field → whether one is stored
    "password": lambda registry: registry.has_password,
    "pull_password": lambda registry: registry.has_pull_password,
}
ACCESS_FIELDS = {*TYPE_SPECIFIC_FIELDS, "type", "version", "network", "region", "verify_tls", "ca_bundle"} - {
    "repositories"
}


def _secret_field(label: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        strip=False,
        max_length=10_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class RegistryForm(forms.ModelForm):  # type: ignore[type-arg]
    """Adds or changes a registry, or with ``testing`` only tries it: it needs no name then.

    A stored password is never shown; an empty field keeps it, unless it would now be sent elsewhere.
    """

    password = _secret_field(gettext_lazy("Password"))
    pull_password = _secret_field(gettext_lazy("Password for pulling"))
    limit = forms.TypedChoiceField(
        label=gettext_lazy("Limit"),
        choices=[("", gettext_lazy("Unlimited")), *((str(number), f"{number:,}") for number in LIMIT_CHOICES)],
        coerce=int,
        empty_value=None,
        required=False,
        help_text=gettext_lazy("Scans above the limit wait in the queue."),
    )

    class Meta:
        model = Registry
        fields = (
            *("name", "type", "version", "network", "region", "address", "username", "pull_username"),
            *("token_service", "role", "endpoint", "limit", "verify_tls", "ca_bundle", "repositories"),
            *("repository_patterns", "tag_patterns", "newest_tags", "tag_days"),
        )
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "address": forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
            "username": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "pull_username": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "token_service": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "role": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "endpoint": forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
            "ca_bundle": forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
            "repositories": forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
            "repository_patterns": forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
            "tag_patterns": forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        }
        help_texts = {
            "name": gettext_lazy("Name shown in this console. Must be unique; case is ignored."),
            "address": gettext_lazy("https://host[:port][/prefix]"),
            "token_service": gettext_lazy(
                "Host that issues the registry's tokens, if it is not the registry itself. It also receives the "
                "password. The connection test shows it."
            ),
            **CHOICE_HELP_TEXTS,
            "ca_bundle": gettext_lazy("In PEM format, for a registry with certificates of your own authority."),
        }
        error_messages = {"name": {"required": gettext_lazy("Give it a name.")}}

    def __init__(self, *args: Any, testing: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.was = copy(self.instance)
        kind = (self.data.get("type") if self.is_bound else self.initial.get("type")) or self.instance.type
        self.declaration = DECLARATIONS.get(kind, DECLARATIONS[Registry.Type.OCI])
        self._apply_declaration(self.declaration)
        if testing:
            self.fields["name"].required = False

    def _apply_declaration(self, declared: Declaration) -> None:
        """Leave the fields that ``declared`` asks for, in its words."""
        self._choose("type", [(name, each.label) for name, each in DECLARATIONS.items()])
        self._choose("network", [choice for choice in Registry.Network.choices if choice[0] in declared.networks])
        regions = [(name, f"{declared.region_names.get(name, '')} {name}".strip()) for name in declared.regions]
        region_from_address = _("Automatic") if regions else _("Default region")
        self._choose("region", [("", region_from_address), *sorted(regions, key=lambda choice: choice[0])])
        if declared.versions:
            chosen = [choice for choice in Registry.Version.choices if choice[0] in declared.versions]
            self._choose("version", sorted(chosen, key=lambda choice: declared.versions.index(choice[0])))
        else:
            del self.fields["version"]
        for name in TYPE_SPECIFIC_FIELDS:
            if name not in declared.fields:
                del self.fields[name]
        for name, field in self.fields.items():
            wording = declared.wording.get(name)
            if wording:
                field.label = str(wording.label or field.label)
                field.help_text = str(wording.help or field.help_text)
                field.widget.attrs |= {"placeholder": wording.placeholder} if wording.placeholder else {}
            if name in TYPE_SPECIFIC_FIELDS:
                stored = name in SECRET_FIELDS and SECRET_FIELDS[name](self.was)
                field.required = name in declared.required and not stored
                if stored:
                    field.help_text = _("Stored encrypted. Leave it empty to keep it.")
                field.error_messages["required"] = _("Fill in “%(label)s”.") % {"label": field.label}

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        """Make the field ``name`` one of ``choices``, the first of them where the row holds none of these."""
        field = self.fields[name]
        if not self.is_bound and self.initial.get(name) not in [value for value, _label in choices]:
            self.initial[name] = choices[0][0]
        self.fields[name] = forms.ChoiceField(
            label=field.label, choices=choices, required=bool(choices[0][0]), help_text=field.help_text
        )
        self.fields[name].error_messages["invalid_choice"] = _("Choose one of the options.")

    # --- one field after the other ---------------------------------------------------------------------------------
    def clean_name(self) -> str:
        """Return the name with single spaces; refuse one that another registry has, whatever its case."""
        name = " ".join(str(self.cleaned_data["name"]).split())
        if name and name_is_taken(name, but=self.instance.pk):
            raise forms.ValidationError(_("Another registry has this name."))
        return name

    def clean_address(self) -> str:
        return _address(self.cleaned_data["address"])

    def clean_endpoint(self) -> str:
        typed = self.cleaned_data["endpoint"]
        return _address(typed) if typed else ""

    def clean_token_service(self) -> str:
        """Return the host name in lower case; refuse anything but a host name."""
        typed = str(self.cleaned_data["token_service"]).strip().lower().rstrip(".")
        if typed and not HOST_PATTERN.fullmatch(typed):
            raise forms.ValidationError(_("Enter only a host name, such as git.example.com."))
        return typed

    def clean_role(self) -> str:
        """Return the ARN of a role; refuse anything else."""
        role = str(self.cleaned_data["role"]).strip()
        if role and not ROLE_ARN_PATTERN.fullmatch(role):
            raise forms.ValidationError(_("A role is written as arn:aws:iam::123456789012:role/name."))
        return role

    def clean_username(self) -> str:
        return _single_line(self.cleaned_data["username"])

    def clean_pull_username(self) -> str:
        return _single_line(self.cleaned_data["pull_username"])

    def clean_password(self) -> str:
        """Return the password; the JSON key of a service account in one line."""
        typed = str(self.cleaned_data["password"])
        if typed.lstrip().startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):  # a password may begin so
                typed = json.dumps(json.loads(typed))
        return _single_line(typed)

    def clean_pull_password(self) -> str:
        return _single_line(self.cleaned_data["pull_password"])

    def clean_ca_bundle(self) -> str:
        """Return the certificates in PEM; refuse a private key, and text without a certificate that can be read."""
        text = str(self.cleaned_data["ca_bundle"]).strip()
        if not text:
            return ""
        if len(text) > MAX_PEM_CHARACTERS:
            raise forms.ValidationError(_("This is too long for a bundle. Paste only the certificates needed."))
        if "PRIVATE KEY-----" in text:
            raise forms.ValidationError(
                _("This contains a private key. Paste certificates only, and keep that key secret.")
            )
        try:
            x509.load_pem_x509_certificates(text.encode())
        except ValueError as error:
            raise forms.ValidationError(
                _("No certificate can be read. Each begins with -----BEGIN CERTIFICATE-----.")
            ) from error
        return text

    def clean_repository_patterns(self) -> str:
        return clean_patterns(self.cleaned_data["repository_patterns"])

    def clean_tag_patterns(self) -> str:
        return clean_patterns(self.cleaned_data["tag_patterns"])

    def clean_newest_tags(self) -> int | None:
        return clean_positive(self.cleaned_data["newest_tags"])

    def clean_tag_days(self) -> int | None:
        return clean_positive(self.cleaned_data["tag_days"])

    # --- all fields together ---------------------------------------------------------------------------------------
    def clean(self) -> dict[str, Any]:
        """Check the fields together. A stored secret must be typed again if it would be sent to another address."""
        cleaned = super().clean() or self.cleaned_data
        self._normalise_address(cleaned)
        self._check_repositories(cleaned)
        alone = not self.declaration.token_alone
        for username, password in (("username", "password"), ("pull_username", "pull_password")):
            if alone and cleaned.get(password) and username in cleaned and not cleaned[username]:
                self.add_error(username, _("A password needs the username it belongs to."))
        if why := secret_exposure_reason(self.was, cleaned, type=self.declaration.type):
            for name, stored in SECRET_FIELDS.items():
                if stored(self.was) and cleaned.get(name) == "" and self._still_used(name, cleaned):
                    label = self.fields[name].label
                    self.add_error(name, _("%(why)s Type “%(label)s” again.") % {"why": why, "label": label})
        return cleaned

    def _still_used(self, secret: str, cleaned: Mapping[str, Any]) -> bool:
        username = secret.replace("password", "username")
        return self.declaration.token_alone or bool(cleaned.get(username))

    def _normalise_address(self, cleaned: dict[str, Any]) -> None:
        """Bring the address to what the type wants, and the region to what the address says."""
        if "address" not in cleaned:
            return
        kind, elsewhere = self.declaration.type, bool(cleaned.get("endpoint"))
        try:
            cleaned["address"] = vendor_addresses.clean_address(cleaned["address"], type=kind, elsewhere=elsewhere)
        except addresses.AddressError as error:
            self.add_error("address", str(error))
            return
        region_from_address = vendor_addresses.region_of(cleaned["address"], type=kind)
        chosen = cleaned.get("region", "")
        if region_from_address and chosen and region_from_address != chosen:
            self.add_error("region", _("The address is in %(region)s.") % {"region": region_from_address})
        elif kind == Registry.Type.AWS and not region_from_address and not chosen and "region" not in self.errors:
            self.add_error("region", _("The address does not contain a region. Choose one."))
        elif region_from_address and not chosen:
            cleaned["region"] = region_from_address

    def _check_repositories(self, cleaned: dict[str, Any]) -> None:
        if "repositories" not in cleaned:
            return
        lines = dict.fromkeys(line.strip().strip("/") for line in cleaned["repositories"].splitlines())
        text = "\n".join(line for line in lines if line)
        host = str(cleaned.get("address", "")).partition("://")[2].partition("/")[0]
        try:
            if len(parse_repository_list(text, host=host)) > MAX_REPOSITORIES:
                self.add_error(
                    "repositories", _("At most %(n)d repositories are allowed here.") % {"n": MAX_REPOSITORIES}
                )
        except AddressInvalid as error:
            self.add_error("repositories", translate_message(sentences(error.reason, error.remedy)))
        cleaned["repositories"] = text

    def _post_clean(self) -> None:
        for name in ("version", *TYPE_SPECIFIC_FIELDS):  # what another type had is not kept
            if name not in self.fields and name not in SECRET_FIELDS:
                setattr(self.instance, name, "")
        super()._post_clean()  # type: ignore[misc]  # Django's own hook; its stub lacks it
        for name, put in (("password", self.instance.set_password), ("pull_password", self.instance.set_pull_password)):
            typed = self.cleaned_data.get(name, "")
            if typed:
                put(typed)
            elif name not in self.fields or not self._still_used(name, self.cleaned_data):
                put("")

    def save(self, commit: bool = True) -> Registry:
        """Return the registry. If its access has changed, its connection counts as not tested."""
        registry: Registry = super().save(commit=False)
        if ACCESS_FIELDS.intersection(self.changed_data) and not registry.credentials_refused:
            registry.refused_login = ""
            registry.connection = Registry.Connection.UNKNOWN
            registry.connection_reason = registry.connection_remedy = ""
            registry.connection_checked_at = None
        if commit:
            registry.save()
        return registry


def typed_values(data: QueryDict) -> dict[str, Any]:
    """Return what somebody has typed so far as initial values of another form, secrets left out."""
    known = {*RegistryForm.Meta.fields}
    return {**{name: data[name] for name in data if name in known}, "verify_tls": "verify_tls" in data}


def secret_exposure_reason(was: Registry, cleaned: Mapping[str, Any], *, type: str) -> str:
    """Return why stored secrets would reach somebody who could not have read them before; "" where they would not."""
    if not was.pk:
        return ""
    address, verify = cleaned.get("address"), cleaned.get("verify_tls", True)
    elsewhere = address and addresses.origin(address) != addresses.origin(was.address)
    host = cleaned.get("token_service", "")
    elsewhere = elsewhere or (host and host != was.token_service)
    if elsewhere or cleaned.get("endpoint", "") != was.endpoint or type != was.type:
        return _("It would be sent to another address than before.")
    if (was.verify_tls and not verify) or (
        verify and cleaned.get("ca_bundle") and cleaned["ca_bundle"] != was.ca_bundle
    ):
        return _("Certificates would be validated in another way than before.")
    return ""


def _address(typed: str) -> str:
    try:
        return addresses.normalise(
            typed, allowed_networks=settings.ALLOWED_NETWORKS, plain_http_hosts=settings.PLAIN_HTTP_HOSTS
        )
    except addresses.AddressError as error:
        raise forms.ValidationError(str(error)) from error


def _single_line(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise forms.ValidationError(_("This contains a line break or another character that a request cannot contain."))
    return text


def name_is_taken(name: str, *, but: int | None = None) -> bool:
    """Return whether a registry other than the one with the key ``but`` has this name, in upper or lower case."""
    others = Registry.objects.present()
    return (others.exclude(pk=but) if but else others).filter(name__iexact=name).exists()


class DeleteForm(forms.Form):
    """Deletes registries after somebody has typed the name of the one, or how many there are."""

    typed = forms.CharField(
        required=False, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )

    def __init__(self, *args: Any, registries: Sequence[Registry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        several = ngettext("%(n)d registry", "%(n)d registries", len(registries)) % {"n": len(registries)}
        self.expected = registries[0].name if len(registries) == 1 else several
        self.fields["typed"].label = _("Type “%(name)s” to confirm") % {"name": self.expected}

    def clean_typed(self) -> str:
        """Return the text to type; refuse any other, so that nothing is deleted by mistake."""
        if self.cleaned_data["typed"].strip() != self.expected:
            raise forms.ValidationError(_("This is not “%(name)s”. Nothing was deleted.") % {"name": self.expected})
        return self.expected
