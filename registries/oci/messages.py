"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- addresses
ALLOWED_NETWORKS_INVALID = MessageText(
    "registry.allowed-networks-invalid", "The list of allowed networks contains an entry that is not a network."
)
WRITE_AS_NETWORKS = MessageText("registry.write-as-networks", "Write each as address/length, such as 10.0.0.0/8.")

# --- api
PASSWORD_REDIRECTED = MessageText(
    "registry.password-redirected", "The address redirects to {origin}. The console does not send the password there."
)
ENTER_ITS_ADDRESS = MessageText("registry.enter-its-address", "If that is the registry, enter that address.")
RESPONSE_UNEXPECTED = MessageText(
    "registry.answer-of-another-form", "The registry's response to the request for {subject} has an unexpected form."
)
CHECK_TYPE_AND_VERSION = MessageText("registry.check-type-and-version", "Check the type and version of this registry.")

# --- auth
SIGN_IN_UNKNOWN = MessageText(
    "registry.sign-in-unknown", "The registry requires a kind of authentication that this console does not support."
)
USE_BASIC_OR_BEARER = MessageText(
    "registry.use-basic-or-bearer",
    "Create an account or token that signs in with Basic or Bearer authentication, as docker login does.",
)
TOKEN_SERVICE_NO_ADDRESS = MessageText(
    "registry.token-service-no-address", "The registry names a token service that is not a web address."
)
TOKEN_SERVICE_WITHOUT_TLS = MessageText(
    "registry.token-service-without-tls", "The registry names a token service that does not use TLS."
)
TOKEN_SERVICE_ELSEWHERE = MessageText(
    "registry.token-service-elsewhere", "The registry requests that the password be sent to another host, {host}."
)
ENTER_TOKEN_SERVICE = MessageText(
    "registry.enter-token-service",
    "If that is its token service, enter it as “Token service” of this registry; otherwise somebody may be "
    "trying to steal the password.",
)
TOKEN_SERVICE_FAILED = MessageText("registry.token-service-failed", "The token service failed (HTTP {status}).")
CHECK_REGISTRY_LOGS = MessageText("registry.look-at-registry-logs", "Check the registry's own logs.")
TOKEN_SERVICE_STATUS = MessageText("registry.token-service-status", "The token service responded with HTTP {status}.")
USERNAME_HAS_COLON = MessageText("registry.username-has-colon", "The user name contains a colon.")
CORRECT_USERNAME = MessageText(
    "registry.correct-username", "Basic authentication does not allow a colon: correct the user name."
)
CLOUD_LOGIN_REFUSED = MessageText(
    "registry.cloud-login-refused", "The registry refuses the login that the cloud's API issued for it."
)
CHECK_CLOUD_ACCOUNT = MessageText(
    "registry.check-cloud-account",
    "Check that the address, region and account belong together, and that both clocks are right.",
)
CREDENTIALS_REFUSED = MessageText("registry.credentials-refused", "The registry refuses the user name or the password.")
CORRECT_CREDENTIALS = MessageText(
    "registry.correct-credentials",
    "Correct them in the registry's settings. Robot accounts and tokens may also have expired.",
)
TOKENS_REFUSED = MessageText("registry.tokens-refused", "The registry refuses the tokens of its token service.")
CHECK_CLOCKS_AND_TRUST = MessageText(
    "registry.check-clocks-and-trust",
    "Check that both clocks agree, and that the registry trusts the token service's certificate and issuer. "
    "The credentials are not the cause; the next sync tries again.",
)
NO_TOKEN = MessageText("registry.no-token", "The token service returned no token.")
CHECK_EXTERNAL_URL = MessageText(
    "registry.check-external-url", "Check the registry's own settings for its address and token service (external URL)."
)

# --- blobs
BLOB_ENDED_EARLY = MessageText("registry.blob-ended-early", "The blob ended early.")
TRY_AGAIN = MessageText("registry.try-again", "Try again.")
BLOB_BROKE_REPEATEDLY = MessageText(
    "registry.blob-kept-breaking", "The connection broke repeatedly while {name} was read."
)
CHECK_NETWORK_AND_PROXIES = MessageText(
    "registry.check-network-and-proxies",
    "Check the network and the proxies between this machine and the registry, then try again.",
)
REST_OF_BLOB_MISSING = MessageText(
    "registry.rest-of-blob-missing", "The registry does not return the rest of the blob."
)
ANOTHER_PART_OF_BLOB = MessageText(
    "registry.another-part-of-blob", "The registry returned another part of {name} than requested."
)
DAMAGED_ON_THE_WAY = MessageText(
    "registry.damaged-on-the-way",
    "It was damaged in the registry or on the network. If it keeps happening, push the image again.",
)
CHECK_PROXIES_AND_STORAGE = MessageText(
    "registry.check-proxies-and-storage", "Check the proxies and the storage behind the registry."
)

# --- client
NO_CATALOG = MessageText("registry.no-catalog", "The registry has no catalog.")
CATALOG_CLOSED = MessageText("registry.catalog-closed", "The registry's catalog is closed. {reason}")
BLOB_TOO_LARGE = MessageText(
    "registry.blob-too-large", "A blob of {size} bytes is larger than any legitimate one of its kind."
)
PUSH_WITH_CURRENT_TOOL = MessageText("registry.push-with-current-tool", "Push the image again with a current tool.")
MANIFEST_TOO_LARGE = MessageText("registry.manifest-too-large", "The manifest is larger than 4 MiB.")
FIND_WHO_PUSHED = MessageText(
    "registry.look-who-pushed", "No legitimate manifest is that large: find out who pushed it."
)
LIST_WITHOUT_END = MessageText(
    "registry.list-without-end", "The registry's list does not end: it refers to a page that was already read."
)
LIST_CUT_OFF = MessageText(
    "registry.list-cut-off",
    "The registry gives the first {count} names of its list again and again, and does not say what comes after them.",
)
ENTER_LIST_AND_REPORT = MessageText(
    "registry.enter-list-and-report",
    "Enter the repositories as a fixed list, and report this to the vendor of the registry.",
)
NAMES_UNFIT = MessageText(
    "registry.names-unfit", "The registry lists {unfit} names that a request cannot contain; the others were read."
)
RENAME_REPOSITORIES_OR_TAGS = MessageText(
    "registry.rename-repositories-or-tags", "Rename these repositories or tags in the registry."
)
TOO_MANY_NAMES = MessageText(
    "registry.too-many-names", "The registry lists more than {page_names} names in one response."
)
CHECK_RESPONDING_SERVER = MessageText(
    "registry.check-what-answers", "No legitimate response is that large. Check which server responds at this address."
)
NO_NAME_IN_LIST = MessageText("registry.no-name-in-list", "The registry's list contains an entry that is not a name.")
CHECK_TYPE = MessageText("registry.check-type", "Check the type of this registry.")
MANIFEST_DIGEST_MISMATCH = MessageText("registry.manifest-digest-mismatch", "The manifest does not match its digest.")
BLOB_LARGER_THAN_ITS_KIND = MessageText(
    "registry.blob-larger-than-its-kind", "A blob is larger than any legitimate one of its kind."
)
ENTER_FIXED_LIST = MessageText(
    "registry.enter-fixed-list",
    "Enter the repositories of this registry as a fixed list, or use an account that may read the catalog.",
)

# --- configs
CONFIG_MALFORMED = MessageText("registry.config-malformed", "The image's config contains an invalid {key}.")

# --- connections
NO_RESPONSE_IN_TIME = MessageText("registry.no-answer-in-time", "The registry did not respond in time.")
CHECK_FIREWALLS_AND_PROXIES = MessageText(
    "registry.check-firewalls-and-proxies",
    "Check that it is running and that no firewall or proxy blocks the connection, then try again.",
)
BUNDLE_UNREADABLE = MessageText(
    "registry.bundle-unreadable", "The certificate bundle of this registry contains no readable certificate."
)
PASTE_PEM = MessageText(
    "registry.paste-pem", "Paste it in PEM form, with its BEGIN CERTIFICATE and END CERTIFICATE lines."
)
HOST_UNKNOWN = MessageText("registry.host-unknown", "The host name {host} cannot be resolved.")
CHECK_SPELLING_AND_NAME_SERVERS = MessageText(
    "registry.check-spelling-and-name-servers",
    "Check its spelling, and that the DNS servers of this machine can resolve it.",
)
HOST_IMPOSSIBLE = MessageText("registry.host-impossible", "The address contains an invalid host name.")
WRITE_AS_URL = MessageText("registry.write-as-url", "Write it as https://host[:port][/prefix].")
HOST_FORBIDDEN = MessageText(
    "registry.host-forbidden", "The host {host} has an address that this console must not connect to."
)
ALLOW_NETWORK = MessageText(
    "registry.allow-network",
    "The console does not connect to loopback, link-local and metadata addresses, nor to private addresses "
    "that a public registry refers to. If a registry really has such an address, an administrator can add "
    "its network to TALLYMAN_ALLOWED_NETWORKS.",
)
NOTHING_LISTENS = MessageText("registry.nothing-listens", "Nothing responds at {host}, port {port}.")
CHECK_PORT = MessageText("registry.check-port", "Check the port and that the registry is running.")
CONNECT_TIMED_OUT = MessageText("registry.connect-timed-out", "The connection to {host}, port {port}, timed out.")
CHECK_FIREWALL_OR_ALLOWLIST = MessageText(
    "registry.check-firewall-or-allowlist",
    "A firewall may block the connection, or the registry may use an allowlist: add this machine's IP address to it.",
)
HOST_UNREACHABLE = MessageText("registry.host-unreachable", "This machine cannot reach the host {host}.")
CHECK_ROUTES = MessageText(
    "registry.check-routes", "Check the routes and firewalls between this machine and the registry."
)

# --- endpoint
ADDRESS_WITHOUT_TLS = MessageText("registry.address-without-tls", "The address {origin} does not use TLS.")
USE_HTTPS = MessageText("registry.use-https", "Use https, or allow plain HTTP for this registry.")
ADDRESS_NO_HTTP = MessageText("registry.address-no-http", "The address begins with neither https nor http.")
ADDRESS_NO_SERVER = MessageText("registry.address-no-server", "The address does not name a server.")
WRITE_AS_URL_WITHOUT_USER = MessageText(
    "registry.write-as-url-without-user", "Write it as https://host[:port][/prefix], without a user name."
)

# --- failures
TOO_MANY_OPEN_FILES = MessageText(
    "registry.too-many-open-files", "The console has too many open files and connections."
)
RAISE_OPEN_FILES = MessageText(
    "registry.raise-open-files",
    "Raise the limit of open files of the service (LimitNOFILE in systemd, ulimit -n), and restart it.",
)
BODY_CANNOT_BE_UNPACKED = MessageText(
    "registry.body-cannot-be-unpacked", "{origin} sent a response body that cannot be decompressed."
)
CHECK_PROXY = MessageText("registry.check-proxy", "Check the proxy in front of it.")
UNFIT_CHARACTERS = MessageText(
    "registry.unfit-characters", "The address or the credentials contain characters that a request cannot contain."
)
CORRECT_THEM = MessageText("registry.correct-them", "Correct them.")
PROXY_DID_NOT_CONNECT = MessageText("registry.proxy-did-not-connect", "The proxy could not connect.")
CHECK_TALLYMAN_PROXY = MessageText(
    "registry.check-tallyman-proxy", "Check TALLYMAN_PROXY and that the proxy is allowed to reach the registry."
)
CONNECTION_BROKE = MessageText("registry.connection-broke", "The connection to {origin} broke.")
CHECK_NETWORK = MessageText(
    "registry.check-network", "Check the network between this machine and the registry, then try again."
)
ADD_AUTHORITY = MessageText(
    "registry.add-authority",
    "Add the authority's certificate to this registry's bundle, or turn off “Validate remote certificates”.",
)
CHECK_CLOCKS = MessageText("registry.check-clocks", "Check the clocks of the registry and of this machine.")
RENEW_CERTIFICATE = MessageText("registry.renew-certificate", "Renew the registry's certificate.")
USE_NAME_OF_CERTIFICATE = MessageText(
    "registry.use-name-of-certificate",
    "Use a name that the certificate contains, or have a certificate issued for this one.",
)
USE_ADDRESS_OF_CERTIFICATE = MessageText(
    "registry.use-address-of-certificate",
    "Use a name that the certificate contains, or have a certificate issued for this address.",
)
CERTIFICATE_INVALID = MessageText("registry.certificate-invalid", "The certificate of {origin} {reason}.")
NO_TLS_ON_PORT = MessageText("registry.no-tls-on-port", "{origin} does not speak TLS on this port.")
CHECK_PORT_OR_ALLOW_HTTP = MessageText(
    "registry.check-port-or-allow-http",
    "Check the port. If the registry has no TLS at all, use an http address and allow plain HTTP for it.",
)
TLS_HANDSHAKE_FAILED = MessageText("registry.tls-handshake-failed", "The TLS handshake with {origin} failed.")
CHECK_TLS_VERSIONS = MessageText("registry.check-tls-versions", "Check which versions of TLS the registry offers.")

# --- listing_bounds
TOO_MANY_PAGES = MessageText("registry.too-many-pages", "The list continues after {pages} pages; the rest is not read.")
LIST_TOO_LARGE = MessageText("registry.list-too-large", "The list continues after {size} MiB; the rest is not read.")
LIST_TOO_SLOW = MessageText(
    "registry.list-too-slow", "The list continues after {seconds} seconds; the rest is not read."
)
LIST_TOO_LONG = MessageText("registry.list-too-long", "The list continues after {names} names; the rest is not read.")
SHORTEN_LIST = MessageText(
    "registry.shorten-list",
    "Delete what is not needed there, or enter the repositories and tags that matter as a fixed list. If "
    "nobody created that many, check the registry itself.",
)

# --- manifests
MANIFEST_MALFORMED = MessageText("registry.manifest-malformed", "The manifest {what}.")

# --- references
DIGEST_MALFORMED = MessageText(
    "registry.digest-malformed",
    "The registry uses a digest that is neither a valid sha256 nor a valid sha512.",
)
NO_NAME_OF_IMAGE = MessageText("registry.no-name-of-image", "“{value}” is not the name of a repository or an image.")
REPOSITORY_NAME_UNFIT = MessageText(
    "registry.repository-name-unfit", "The registry lists a repository whose name a request cannot contain."
)
TAG_NAME_UNFIT = MessageText("registry.tag-name-unfit", "The registry lists a tag whose name a request cannot contain.")
RENAME_IT = MessageText("registry.rename-it", "Rename it in the registry.")

# --- responses
MAY_NOT_READ_OR_MISSING = MessageText(
    "registry.may-not-read-or-missing", "The account is not allowed to read this, or it does not exist."
)
GIVE_RIGHT_OR_CHECK_NAME = MessageText(
    "registry.give-right-or-check-name", "Give the account permission to list and pull, or check the name."
)
SIGN_IN_REQUIRED = MessageText("registry.sign-in-required", "The registry requires a sign-in.")
ENTER_CREDENTIALS = MessageText(
    "registry.enter-credentials", "Enter the user name and password of an account that is allowed to list and pull."
)
ACCESS_FORBIDDEN = MessageText("registry.access-forbidden", "The registry denies access.")
CHECK_ACCESS_RULES = MessageText(
    "registry.check-access-rules",
    "It may use an allowlist of addresses, or the account may lack a permission. Check the registry's access rules.",
)
FAILED = MessageText("registry.failed", "The registry failed (HTTP {status}).")
PORT_SPEAKS_TLS = MessageText("registry.port-speaks-tls", "This port uses TLS.")
WRITE_WITH_HTTPS = MessageText("registry.write-with-https", "Write the address with https.")
NOT_A_REGISTRY = MessageText("registry.not-a-registry", "No registry responds at this address (HTTP {status}).")
CHECK_ADDRESS_OR_SIGN_IN_PAGE = MessageText(
    "registry.check-address-or-sign-in-page",
    "Check the type, port and path prefix of the address. The sign-in page of a proxy may be in front of the registry.",
)
XRAY_BLOCKS = MessageText("registry.xray-blocks", "A JFrog Xray policy blocks the download of {subject}.")
EXEMPT_FROM_XRAY = MessageText(
    "registry.exempt-from-xray",
    "Exempt this account or the repository from the policy, or have the image allowed in Xray.",
)
MAY_NOT_READ = MessageText("registry.may-not-read", "The registry does not allow this account to read {subject}{note}.")
GIVE_RIGHT_OR_CHECK_POLICY = MessageText(
    "registry.give-right-or-check-policy",
    "Give the account permission to list and pull there. A policy of the registry may also block it.",
)
DOES_NOT_CONTAIN = MessageText("registry.does-not-hold", "The registry does not contain {subject}{note}.")
POLICY_BLOCKS = MessageText("registry.policy-blocks", "A policy of the registry blocks the pull of {subject}{note}.")
EXEMPT_FROM_PROJECT_RULES = MessageText(
    "registry.exempt-from-project-rules",
    "Exempt this account from the project's rules for vulnerabilities or signatures.",
)
FAILED_TO_GIVE = MessageText(
    "registry.failed-to-give", "The registry failed to return {subject} (HTTP {status}{note})."
)
UNEXPECTED_STATUS = MessageText(
    "registry.unexpected-status", "The registry responded with HTTP {status}{note} to the request for {subject}."
)
STORAGE_REFUSES = MessageText(
    "registry.storage-refuses", "{origin}, where the registry stores its content, refuses the download (HTTP {status})."
)
CHECK_STORAGE_SETTINGS = MessageText(
    "registry.check-storage-settings",
    "Check the registry's storage settings, and that this machine is allowed to read from that storage.",
)
WEB_PAGE = MessageText("registry.web-page", "The response is a web page instead of one of a registry.")
CHECK_TYPE_OR_SIGN_IN_PAGE = MessageText(
    "registry.check-type-or-sign-in-page",
    "Check the type and path prefix of the address. The sign-in page of a proxy may be in front of the registry.",
)
REPOSITORY_GONE = MessageText("registry.repository-gone", "It may have been deleted. The next sync detects that.")
MANIFEST_GONE = MessageText(
    "registry.manifest-gone",
    "It may have been deleted or replaced since it was listed: sync the registry and try again.",
)
BLOB_GONE = MessageText(
    "registry.blob-gone",
    "The image is incomplete in the registry, or a base layer is stored elsewhere (Windows): push the image again.",
)
PAGE_GONE = MessageText("registry.page-gone", "Check the address and its path prefix.")

# --- strict_json
NOT_JSON = MessageText("registry.not-json", "The {what} is not JSON of the expected form.")
OPEN_IN_BROWSER = MessageText(
    "registry.look-in-browser",
    "Open the address in a browser to see what it returns; a proxy or a sign-in page may be in front of the registry.",
)

# --- transport
REDIRECT_WITHOUT_TLS = MessageText(
    "registry.redirect-without-tls", "{before} redirects to an address that does not use TLS."
)
CORRECT_EXTERNAL_URL = MessageText(
    "registry.correct-external-url", "Correct the registry's own address (external URL) or the storage it redirects to."
)
REDIRECTED_QUERY = MessageText("registry.redirected-query", "{first} redirects a query to {origin}.")
REDIRECT_TO_OTHER_REGISTRY = MessageText(
    "registry.redirect-to-other-registry", "{first} redirects to {origin}, which is another registry of this console."
)
DELIVER_ITSELF = MessageText(
    "registry.deliver-itself", "Configure the registry to deliver its content itself, or from its own storage."
)
REDIRECT_CIRCLE = MessageText("registry.redirect-circle", "{first} redirects in a loop.")
CHECK_ADDRESS_AND_PROXY = MessageText(
    "registry.check-address-and-proxy", "Check the address, and the proxy in front of the registry."
)
RESPONSE_TOO_LARGE = MessageText("registry.answer-too-large", "The registry's response is larger than {value} MiB.")
REDIRECT_TO_NO_ADDRESS = MessageText(
    "registry.redirect-to-no-address", "The registry redirects to something that is not a web address."
)
CHECK_PROXY_BEFORE_REGISTRY = MessageText(
    "registry.check-proxy-before-registry", "Check the proxy in front of the registry."
)
ACCOUNT_LOCKED = MessageText(
    "registry.account-locked", "The registry has locked this account for a while, after failed logins."
)
FIND_WHO_SIGNS_IN = MessageText(
    "registry.find-who-signs-in",
    "The registry did not check the password. Find out who signs in with a wrong one, then try again.",
)
RATE_LIMITED = MessageText("registry.rate-limited", "The registry limits the rate of requests.")
RETRIED_LATER = MessageText(
    "registry.asked-again-later",
    "The console tries again later. If it keeps happening, use a separate account, or set a lower hourly limit.",
)
FAILED_REPEATEDLY = MessageText("registry.failed-repeatedly", "{origin} failed repeatedly (HTTP {status}).")
CHECK_LOGS_AND_BALANCER = MessageText(
    "registry.look-at-logs-and-balancer", "Check the logs of the registry and of the load balancer in front of it."
)

# --- what the sentences above are filled in with
CERTIFICATE_NOT_YET_VALID = MessageText("registry.certificate-not-yet-valid", "is not valid yet")
CERTIFICATE_EXPIRED = MessageText("registry.certificate-expired", "has expired")
CERTIFICATE_SELF_SIGNED = MessageText("registry.certificate-self-signed", "is self-signed")
CERTIFICATE_OF_UNKNOWN_AUTHORITY = MessageText(
    "registry.certificate-of-unknown-authority", "is signed by an authority that this console does not trust"
)
CERTIFICATE_OF_OTHER_HOST = MessageText("registry.certificate-of-other-host", "is for another host name")
CERTIFICATE_OF_OTHER_ADDRESS = MessageText("registry.certificate-of-other-address", "is for another address")
CERTIFICATE_UNTRUSTED = MessageText("registry.certificate-untrusted", "is not trusted")
IMAGE_AND_INDEX = MessageText("registry.image-and-index", "is both an image and an index")
OLD_AND_NEW_FORM = MessageText("registry.old-and-new-form", "mixes the old form with a newer one")
OTHER_MEDIA_TYPE = MessageText("registry.other-media-type", "states another media type than the registry")
NO_PROPER_CONTENTS = MessageText(
    "registry.no-proper-contents", "has no valid list of contents, or one that is too long"
)
DESCRIPTOR_MISSING = MessageText("registry.descriptor-missing", "lacks a descriptor")
SIZE_IMPOSSIBLE = MessageText("registry.size-impossible", "states an invalid size")
OLD_FORM_WITHOUT_LAYERS = MessageText("registry.old-form-without-layers", "has the old form and lacks its layers")
TOO_MANY_LAYERS = MessageText("registry.too-many-layers", "has too many layers")
OLD_FORM_WITHOUT_HISTORY = MessageText("registry.old-form-without-history", "has the old form and lacks its history")

# --- blobs: what is not what it should be
BLOB_LONGER = MessageText(
    "registry.blob-longer", "The blob {digest} is longer than the {limit} bytes that its manifest states."
)
BLOB_DIGEST_MISMATCH = MessageText("registry.blob-digest-mismatch", "The blob {digest} does not match its digest.")
BLOB_SIZE_MISMATCH = MessageText(
    "registry.blob-size-mismatch", "The blob {digest} has {total} bytes, but its manifest states {size}."
)
BLOB_CHANGED = MessageText("registry.blob-changed", "The blob {digest} changed while it was read.")
BLOB = MessageText("registry.blob", "the blob {digest}")
WRITE_AS_REFERENCE = MessageText("registry.write-as-reference", "Write it as name, name:tag or name@sha256:…")

# --- what was to be JSON
MANIFEST = MessageText("registry.manifest", "manifest")
LIST = MessageText("registry.list", "list")
RESPONSE = MessageText("registry.answer", "response")
CATALOG = MessageText("registry.catalog", "the catalog")
ERROR_BODY = MessageText("registry.error-body", "error")
CONFIG = MessageText("registry.config", "image's config")
TOKEN_RESPONSE = MessageText("registry.token-answer", "response of the token service")
HISTORY = MessageText("registry.history", "history of the manifest")
BLOB_OF = MessageText("registry.blob-of", "{digest} of {repository}")
