"""What the form asks for each type of registry. The facts behind the words stand in the operation guides."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from registries.connectors import regions
from registries.connectors.base import Declaration, Wording

REPOSITORIES_WORDING = Wording(
    help=_("One per line: name, name:tag or name:pattern with * and ?. Empty: all that the account can list."),
    placeholder="team/app",
)
SECRET_ID_WORDING = Wording(
    label=_("SecretId"), help=_("API key of Tencent Cloud, not the docker login."), placeholder="AKID…"
)
REGION_WORDING = Wording(help=_("Automatic: from the address."))
SECRET_KEY_WORDING = Wording(label=_("SecretKey"))

HARBOR = Declaration(
    type="harbor",
    label="Harbor",
    versions=("v2", "v1"),
    fields=("address", "username", "password", "repositories"),
    wording={
        "version": Wording(
            help=_("V2 is Harbor 2.0 and later. The connection test shows the version that the API reports.")
        ),
        "address": Wording(
            help=_("Address of the portal, as in the browser."), placeholder="https://harbor.example.com"
        ),
        "username": Wording(
            label=_("Robot account or user"),
            help=_("Empty: public projects only. Robot accounts of Harbor 1 can pull, but not list."),
            placeholder="robot$tallyman",
        ),
        "password": Wording(label=_("Robot secret or password"), help=_("With single sign-on: the user's CLI secret.")),
        "repositories": REPOSITORIES_WORDING,
    },
)
QUAY = Declaration(
    type="quay",
    label="Quay",
    fields=("address", "username", "password", "token_service", "repositories"),
    wording={
        "address": Wording(help=_("https://quay.io, or the host of a Red Hat Quay."), placeholder="https://quay.io"),
        "username": Wording(
            label=_("Robot account"),
            help=_("namespace+robot, a user, or empty for an OAuth token."),
            placeholder="acme+tallyman",
        ),
        "password": Wording(
            label=_("Robot token or OAuth token"), help=_("An OAuth token needs the scopes repo:read and user:read.")
        ),
        "repositories": REPOSITORIES_WORDING,
    },
    token_alone=True,
)
JFROG = Declaration(
    type="jfrog",
    label="JFrog",
    fields=("address", "username", "password", "token_service", "repositories"),
    wording={
        "address": Wording(
            help=_(
                "As in docker pull: https://name.jfrog.io or https://host (path method), https://docker-local.host"
                " (subdomain), https://host:5001 (port)."
            ),
            placeholder="https://acme.jfrog.io",
        ),
        "username": Wording(help=_("Leave empty if the access token needs no user name.")),
        "password": Wording(label=_("Access token or password"), help=_("Access token, identity token or API key.")),
        "repositories": Wording(
            help=_("One per line, starting with the repository key. Empty: all Docker and OCI repositories."),
            placeholder="docker-local/team/app",
        ),
    },
    token_alone=True,
)
AWS = Declaration(
    type="aws",
    label="AWS",
    regions=tuple(regions.AWS_REGIONS),
    region_names=regions.AWS_REGIONS,
    fields=("address", "username", "password", "role", "endpoint"),
    required=frozenset({"address", "username", "password"}),
    wording={
        "region": REGION_WORDING,
        "address": Wording(
            help=_("The URI of the private registry, without a repository."),
            placeholder="https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        ),
        "username": Wording(label=_("Access key ID"), placeholder="AKIA…"),
        "password": Wording(label=_("Secret access key")),
        "role": Wording(
            help=_("Assumed with the key, for example for the registry of another account."),
            placeholder="arn:aws:iam::123456789012:role/tallyman",
        ),
        "endpoint": Wording(
            help=_("For a VPC endpoint or a service compatible with AWS. Empty: the region's public endpoint."),
            placeholder="https://api.ecr.eu-central-1.amazonaws.com",
        ),
    },
)
TCR = Declaration(
    type="tcr",
    label="TCR",
    networks=("public", "vpc"),
    regions=tuple(regions.TENCENT_REGIONS),
    region_names=regions.TENCENT_REGIONS,
    fields=("address", "username", "password", "endpoint"),
    required=frozenset({"address", "username", "password"}),
    wording={
        "network": Wording(help=_("VPC pulls through the internal endpoint of the instance.")),
        "region": Wording(help=_("Automatic: from the API.")),
        "address": Wording(
            help=_("Domain of the instance, or your own domain for it."), placeholder="https://acme.tencentcloudcr.com"
        ),
        "username": SECRET_ID_WORDING,
        "password": SECRET_KEY_WORDING,
        "endpoint": Wording(
            help=_("Empty: the public one. International accounts use tcr.intl.tencentcloudapi.com."),
            placeholder="https://tcr.tencentcloudapi.com",
        ),
    },
)
CCR = Declaration(
    type="ccr",
    label="CCR",
    regions=tuple(dict.fromkeys(regions.CCR_HOSTS.values())),
    region_names=regions.TENCENT_REGIONS,
    fields=("address", "username", "password", "pull_username", "pull_password", "endpoint"),
    required=frozenset({"address", "username", "password"}),
    wording={
        "region": REGION_WORDING,
        "address": Wording(help=_("The host of your region."), placeholder="https://ccr.ccs.tencentyun.com"),
        "username": SECRET_ID_WORDING,
        "password": SECRET_KEY_WORDING,
        "pull_username": Wording(label=_("Registry user"), help=_("The account ID (UIN)."), placeholder="100012345678"),
        "pull_password": Wording(
            label=_("Registry password"),
            help=_("Set when the personal edition was opened. Without it, images are listed but cannot be scanned."),
        ),
        "endpoint": TCR.wording["endpoint"],
    },
)
OCI = Declaration(
    type="oci",
    label="OCI",
    fields=("address", "username", "password", "token_service", "repositories"),
    wording={
        "address": Wording(placeholder="https://registry.example.com"),
        "username": Wording(help=_("Leave empty if the registry allows anonymous reading.")),
        "repositories": Wording(
            help=_(
                "One per line: name, name:tag or name:pattern with * and ?. Empty: the whole catalog of the registry."
            ),
            placeholder="team/app",
        ),
    },
)
