"""What people paste as the address of each type of registry, brought to what the connector calls.

Facts from the vendors' documentation: Tencent, "Endpoints" of the personal edition; Harbor and Quay live at the root of
their host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from registries.addresses import AddressError
from registries.connectors.ecr import ECR_HOST_PATTERN as ECR
from registries.connectors.regions import CCR_HOSTS
from registries.models import Registry

CCR_HOST_PATTERN = re.compile(r"(?P<label>[a-z]+)\.ccs\.tencentyun\.com")
# src/portal/src/app/harbor-routing.module.ts of goharbor/harbor
_PORTAL_PAGES = (
    "projects|sign-in|logs|users|robot-accounts|groups|registries|replications|distribution|labels|tags|configs|gc"
    "|clearing-job|interrogation-services|project-quotas|job-service-dashboard|instances"
)
# Paths of the vendor's pages, which stand in the address bar of who copies from there.
PORTAL_PATH_PATTERNS: Mapping[str, re.Pattern[str]] = {
    # A proxy may have put Harbor below /harbor: only with the name of a page behind it is that one of its portal.
    Registry.Type.HARBOR: re.compile(rf"/(harbor/({_PORTAL_PAGES})|api|c|account)(/.*)?$"),
    Registry.Type.QUAY: re.compile(r"/(organization|repository|user|api|signin)(/.*)?$"),
    Registry.Type.JFROG: re.compile(r"/(ui|webapp|artifactory/webapp|artifactory/api)(/.*)?$"),
}
PATHLESS_TYPES = {Registry.Type.QUAY, Registry.Type.AWS, Registry.Type.TCR, Registry.Type.CCR}


def clean_address(address: str, *, type: str, elsewhere: bool = False) -> str:
    """Return the normalised ``address`` without the path of a vendor's page.

    ``elsewhere`` says that the API was given an endpoint of its own: the host may then be any. Raises AddressError for
    what cannot be the address of this type.
    """
    parts = urlsplit(address)
    path = PORTAL_PATH_PATTERNS[type].sub("", parts.path) if type in PORTAL_PATH_PATTERNS else parts.path
    if path and type in PATHLESS_TYPES:
        raise AddressError(_("Leave out “%(path)s”: this type of registry has none.") % {"path": path[:60]})
    host = parts.hostname or ""
    if type == Registry.Type.AWS and not elsewhere and not ECR.fullmatch(host):
        if host == "public.ecr.aws":
            raise AddressError(_("This is the public gallery of AWS. Add it as type OCI, with a list of repositories."))
        raise AddressError(_("It looks like 123456789012.dkr.ecr.eu-central-1.amazonaws.com."))
    if type == Registry.Type.CCR and not elsewhere and _ccr_label(host) is None:
        raise AddressError(
            _("It is ccr.ccs.tencentyun.com, or the host of a region, such as hkccr.ccs.tencentyun.com.")
        )
    return f"{parts.scheme}://{parts.netloc}{path}"


def region_of(address: str, *, type: str) -> str:
    """Return the region that the host of ``address`` names; "" where it names none."""
    host = urlsplit(address).hostname or ""
    if type == Registry.Type.AWS and (found := ECR.fullmatch(host)):
        return found["region"]
    if type == Registry.Type.CCR:
        return CCR_HOSTS.get(_ccr_label(host) or "", "")
    return ""


def _ccr_label(host: str) -> str | None:
    found = CCR_HOST_PATTERN.fullmatch(host)
    return found["label"] if found and found["label"] in CCR_HOSTS else None
