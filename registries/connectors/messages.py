"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- aws
LIST_IN_CIRCLES = MessageText(
    "connector.list-in-circles", "The list from AWS refers back to the page that was just read."
)
TRY_LATER_OR_CHECK_ENDPOINT = MessageText(
    "connector.try-later-or-check-endpoint", "Try again later, or check the endpoint."
)
NO_ACCESS_KEY = MessageText("connector.no-access-key", "No access key is stored for this registry.")
ENTER_ACCESS_KEY = MessageText("connector.enter-access-key", "Enter an access key ID and its secret access key.")
NO_ECR_IN_REGION = MessageText(
    "connector.no-ecr-in-region", "AWS has no container registry in the region “%(region)s”."
)
CORRECT_REGION_OR_ENDPOINT = MessageText(
    "connector.correct-region-or-endpoint", "Correct the address or the region, or enter the API endpoint."
)

# --- aws_errors
ROLE_EXPIRED_AT_ONCE = MessageText(
    "connector.role-expired-at-once",
    "AWS reports that the credentials of the role have expired, although they were just issued.",
)
CHECK_CLOCK = MessageText("connector.check-clock", "Check the clock of this machine.")
AWS_CLOCKS_DIFFER = MessageText(
    "connector.aws-clocks-differ", "The clocks of this machine and of AWS differ by more than five minutes."
)
SET_CLOCK = MessageText("connector.set-clock", "Set the clock, preferably by NTP, and try again.")
ENDPOINT_OF_OTHER_REGION = MessageText(
    "connector.endpoint-of-other-region", "The API endpoint belongs to another region than the registry."
)
CORRECT_REGION = MessageText(
    "connector.correct-region", "Correct the region, or enter the endpoint of the region in the registry's address."
)
AWS_RATE_LIMITED = MessageText("connector.aws-rate-limited", "AWS limits the rate of calls to %(right)s.")
RAISE_AWS_QUOTA = MessageText(
    "connector.raise-aws-quota", "The console tries again later. AWS can raise a quota of the account."
)
AWS_REPOSITORY_UNKNOWN = MessageText("connector.aws-repository-unknown", "AWS has no such repository.")
REPOSITORY_MAY_BE_DELETED = MessageText(
    "connector.repository-may-be-deleted", "It may have been deleted. The next sync detects that."
)
AWS_FAILED = MessageText("connector.aws-failed", "The AWS API failed on %(right)s (%(code)s).")
CHECK_HEALTH_DASHBOARD = MessageText(
    "connector.look-at-health-dashboard", "Check the AWS Health Dashboard, and try again later."
)
AWS_REFUSES = MessageText("connector.aws-refuses", "AWS refuses %(right)s (%(code)s).")
CHECK_ADDRESS_REGION_ENDPOINT = MessageText(
    "connector.check-address-region-endpoint", "Check the address, region and API endpoint of this registry."
)
TEMPORARY_ACCESS_KEY = MessageText(
    "connector.temporary-access-key", "This is a temporary access key, which AWS accepts only with its session token."
)
ENTER_KEY_OF_USER = MessageText(
    "connector.enter-key-of-user",
    "Enter the access key of an IAM user, which begins with AKIA, and the role if one is needed.",
)
ACCESS_KEY_REFUSED = MessageText(
    "connector.access-key-refused", "AWS refuses the access key ID or the secret access key."
)
CORRECT_ACCESS_KEY = MessageText(
    "connector.correct-access-key",
    "Correct them in the registry's settings. The key may also be inactive, deleted or of another partition.",
)
MAY_NOT_ASSUME_ROLE = MessageText("connector.may-not-take-role", "The key is not allowed to assume the role.")
ALLOW_ASSUME_ROLE = MessageText(
    "connector.allow-assume-role",
    "Allow sts:AssumeRole on the role for the key's user, and name that user in the role's trust policy.",
)
AWS_POLICY_DENIES = MessageText(
    "connector.aws-policy-denies", "An AWS policy explicitly denies the permission %(right)s."
)
FIND_DENY = MessageText(
    "connector.look-for-deny",
    "Find the explicit deny in the policies of the user or role, the organization and the VPC endpoint.",
)
KEY_LACKS_RIGHT = MessageText("connector.key-lacks-right", "The key lacks the permission %(right)s.")
ALLOW_IN_IAM = MessageText(
    "connector.allow-in-iam",
    "Allow %(right)s for its user or role in IAM; if the registry belongs to another account, allow it there too.",
)
NO_RESPONSE_OF_AWS = MessageText("connector.no-answer-of-aws", "The response is not one of the AWS API.")
CHECK_ENDPOINT_AND_PROXY = MessageText(
    "connector.check-endpoint-and-proxy", "Check the API endpoint, and the proxy in front of it."
)

# --- distribution
LINE_NAMES_NO_REPOSITORY = MessageText(
    "connector.line-names-no-repository",
    "Line %(number)d of the repositories, “%(line)s”, does not name a repository of this registry.",
)
WRITE_ONE_A_LINE = MessageText(
    "connector.write-one-a-line", "Write one per line as name, name:tag or name:pattern, such as team/app:1.*"
)

# --- ecr
ALLOW_PULL_IN_IAM = MessageText(
    "connector.allow-pull-in-iam",
    "Allow ecr:BatchGetImage and ecr:GetDownloadUrlForLayer for the key's user or role in IAM, and check "
    "that the repository's own policy does not deny them.",
)
AWS_ISSUED_NO_LOGIN = MessageText("connector.aws-gave-no-login", "The AWS API issued no login for the registry.")
CHECK_ENDPOINT = MessageText("connector.check-endpoint", "Check the API endpoint.")
NO_ADDRESS_OF_ECR = MessageText("connector.no-address-of-ecr", "This is not the address of a private AWS registry.")
LOOKS_LIKE_ECR = MessageText(
    "connector.looks-like-ecr",
    "It looks like 123456789012.dkr.ecr.eu-central-1.amazonaws.com. Add public repositories as type OCI.",
)
REGIONS_DIFFER = MessageText(
    "connector.regions-differ", "The address is in the region %(there)s, but the chosen region is %(chosen)s."
)
LEAVE_REGION = MessageText("connector.leave-region", "Choose “Automatic” as the region, or correct the address.")
NO_ROLE_ARN = MessageText("connector.no-role-arn", "The role is not the ARN of a role.")
LOOKS_LIKE_ARN = MessageText("connector.looks-like-arn", "It looks like arn:aws:iam::123456789012:role/tallyman.")

# --- harbor
HARBOR_OF_OTHER_VERSION = MessageText("connector.harbor-of-other-version", "This is Harbor %(found)s.")
CHOOSE_VERSION = MessageText("connector.choose-version", "Choose the version %(version)s.")
NO_HARBOR = MessageText("connector.no-harbor", "No Harbor responds at this address.")
CHECK_TYPE_AND_PORT = MessageText(
    "connector.check-type-and-port",
    "Check the type and port. Harbor is served at the root of its host: leave out the path that the browser "
    "shows after the host.",
)
ITS_VERSION = MessageText("connector.its-version", "its version")
SAME_PAGE_AGAIN = MessageText("connector.same-page-again", "The registry keeps returning the same page of %(what)s.")
PROXY_MUST_PASS_QUERY = MessageText(
    "connector.proxy-must-pass-query", "Check the proxy in front of the registry: it must pass on the query string."
)
LIST_SHRANK_REPEATEDLY = MessageText(
    "connector.list-kept-shrinking", "The registry's list kept shrinking while it was read: %(what)s."
)
SYNC_AFTER_CLEANING = MessageText(
    "connector.sync-after-cleaning", "It may be running a cleanup. Sync again when that has finished."
)
KEY_NOT_PROPER = MessageText("connector.key-not-proper", "An entry in %(what)s has no valid “%(key)s”.")
CHECK_TYPE_AND_VERSION = MessageText("connector.check-type-and-version", "Check the type and version of this registry.")
PROJECTS_NOT_LISTABLE = MessageText(
    "connector.projects-not-listable",
    "The account is not allowed to list the repositories of these projects: %(projects)s.",
)

# --- parts
PARTS_NOT_LISTED = MessageText("connector.parts-not-listed", "Not listed: {parts}. {reason}")

# --- harbor_v1
ROBOT_CANNOT_LIST = MessageText(
    "connector.robot-cannot-list", "This is a robot account. Robot accounts of Harbor 1 can pull, but not list."
)
ENTER_USER_OR_LIST = MessageText(
    "connector.enter-user-or-list", "Enter a user instead, or enter the repositories as a list."
)
HARBOR_REFUSES_CREDENTIALS = MessageText(
    "connector.harbor-refuses-credentials",
    "Harbor's API refuses these credentials, although its token service accepts them.",
)
USE_HARBOR_USER = MessageText(
    "connector.use-harbor-user",
    "Use a user with a password of Harbor or LDAP, or enter the repositories as a list.",
)
LIST_OF_PROJECTS = MessageText("connector.list-of-projects", "the list of projects")
MAKE_USER_MEMBER = MessageText("connector.make-user-member", "Make the user a member of these projects.")
LIST_OF_REPOSITORIES = MessageText("connector.list-of-repositories", "the list of repositories")
LIST_OF_TAGS = MessageText("connector.list-of-tags", "the list of tags")

# --- harbor_v2
USE_ROBOT_OR_CLI_SECRET = MessageText(
    "connector.use-robot-or-cli-secret",
    "Use a robot account, or a user with a password (with single sign-on: the CLI secret).",
)
ITS_SYSTEM_INFORMATION = MessageText("connector.its-system-information", "its system information")
GIVE_ROBOT_LIST_RIGHTS = MessageText(
    "connector.give-robot-list-rights",
    "Give the robot account the permissions “List Repository” and “List Artifact” there, or enter the "
    "repositories as a list.",
)
PROXY_CACHE_NOT_LISTABLE = MessageText(
    "connector.proxy-cache-not-listable",
    "The project {project} caches another registry, and the account may not list which images Harbor holds of it.",
)
GIVE_ROBOT_ARTIFACT_RIGHTS = MessageText(
    "connector.give-robot-artifact-rights",
    "Give the robot account “List Artifact” and “List Tag” there. Without these only its upstream could be listed, and"
    " Harbor would fetch what is asked for.",
)
LIST_OF_ARTIFACTS = MessageText("connector.list-of-artifacts", "the list of artifacts")
HARBOR_REPOSITORY_UNKNOWN = MessageText("connector.harbor-repository-unknown", "Harbor's API has no such repository.")

# --- jfrog
ITS_REPOSITORIES = MessageText("connector.its-repositories", "its repositories")
NO_IMAGE_OF_REPOSITORY = MessageText(
    "connector.no-image-of-repository", "“%(name)s” does not name an image in a repository."
)
WRITE_KEY_IN_FRONT = MessageText(
    "connector.write-key-in-front", "Begin with the repository key, such as docker-local/team/app."
)
ARTIFACTORY_LOCKED_ACCOUNT = MessageText(
    "connector.artifactory-locked-account", "Artifactory has locked this account after failed logins."
)
FIND_WHO_AND_UNLOCK = MessageText(
    "connector.find-who-and-unlock",
    "Find out who signs in with a wrong password, and have an administrator unlock the account.",
)
SEES_NO_REPOSITORY = MessageText(
    "connector.sees-no-repository", "The account can see no repository of Docker or OCI images."
)
GIVE_PERMISSION_OR_OTHER_ACCOUNT = MessageText(
    "connector.give-permission-or-other-account", "Give it permission to read them, or use another account."
)
IMAGES_NOT_LISTABLE = MessageText(
    "connector.images-not-listable", "The account is not allowed to list the images of these repositories: %(keys)s."
)
GIVE_PERMISSION_OR_LIST = MessageText(
    "connector.give-permission-or-list", "Give it permission to read them, or enter the images as a list."
)

# --- jfrog_search
THE_SEARCH = MessageText("connector.the-search", "the search")

# --- quay
NO_QUAY = MessageText("connector.no-quay", "No Quay responds at this address.")
CHECK_TYPE_AND_ADDRESS = MessageText(
    "connector.check-type-and-address", "Check the type and the address: https://host[:port]."
)
USER_OF_TOKEN = MessageText("connector.user-of-token", "the user of the token")
QUAY_NEEDS_SIGN_IN = MessageText("connector.quay-needs-sign-in", "Quay lists nothing without a sign-in.")
ENTER_ROBOT_OR_TOKEN = MessageText(
    "connector.enter-robot-or-token", "Enter a robot account or an OAuth token, or enter the repositories as a list."
)
TAGS_OF_REPOSITORY = MessageText("connector.tags-of-repository", "the tags of %(repository)s")
TOKEN_MAY_NOT_READ = MessageText("connector.token-may-not-read", "The OAuth token is not allowed to read %(what)s.")
NEEDS_SCOPE = MessageText(
    "connector.needs-scope", "It needs the scope repo:read, and its user must be allowed to read this repository."
)
CHECK_TYPE = MessageText("connector.check-type", "Check the type of this registry.")
QUAY_LIST_WITHOUT_END = MessageText(
    "connector.quay-list-without-end", "Quay's list does not end: it refers to a page that was already read."
)
ENTER_LIST_OR_ROBOT = MessageText(
    "connector.enter-list-or-robot", "Enter the repositories as a list, or use a robot account instead of the token."
)

# --- tencent
INSTANCE_NOT_LISTED = MessageText("connector.instance-not-listed", "Tencent Cloud no longer lists the instance.")
NO_INSTANCE_OF_ADDRESS = MessageText(
    "connector.no-instance-of-address", "No instance of this account has the address %(host)s."
)
CHECK_WHETHER_DELETED = MessageText(
    "connector.look-whether-deleted",
    "Check in the Tencent Cloud console whether it was deleted, and whether the key belongs to its account.",
)
NAMESPACES_NOT_LISTABLE = MessageText(
    "connector.namespaces-not-listable",
    "The key is not allowed to list these namespaces: %(names)s. All others were read.",
)
CHECK_VPC_LINK = MessageText(
    "connector.check-vpc-link",
    "Check in the Tencent Cloud console that the instance has an access link to the VPC of this machine.",
)
PUT_ON_ALLOWLIST = MessageText(
    "connector.put-on-allowlist",
    "Add this machine's public IP address to the instance's allowlist for public access in the Tencent Cloud "
    "console, or choose VPC as the network type.",
)
REGISTRY_LETS_NOBODY_IN = MessageText(
    "connector.registry-lets-nobody-in",
    "The API works, but the registry itself refuses access from this machine: %(reason)s",
)
ALLOW_PULL_IN_CAM = MessageText(
    "connector.allow-pull-in-cam", "Allow tcr:PullRepository* on this instance for the key's user in CAM."
)
TENCENT_ISSUED_NO_LOGIN = MessageText(
    "connector.tencent-gave-no-login", "Tencent Cloud issued no login for the registry."
)
TRY_LATER = MessageText("connector.try-later", "Try again later.")

# --- tencent_api
TENCENT_FAILED_WITH_STATUS = MessageText(
    "connector.tencent-failed-with-status", "The Tencent Cloud API failed (HTTP %(status)d)."
)
TRY_LATER_OR_STATUS_PAGE = MessageText(
    "connector.try-later-or-status-page",
    "Try again later. If it keeps happening, check the status page of Tencent Cloud.",
)
NO_TENCENT_API = MessageText(
    "connector.no-tencent-api", "%(host)s does not respond as the Tencent Cloud API does (HTTP %(status)d)."
)
NO_RESPONSE_OF_TENCENT = MessageText(
    "connector.no-answer-of-tencent", "The response is not one of the Tencent Cloud API."
)

# --- tencent_errors
TENCENT_RATE_LIMITED = MessageText(
    "connector.tencent-rate-limited", "Tencent Cloud limits the rate of calls to %(right)s."
)
RETRIED_LATER = MessageText("connector.asked-again-later", "The console tries again later.")
ALLOW_IN_CAM = MessageText("connector.allow-in-cam", "Allow %(right)s for its user in CAM, for this instance.")
PERSONAL_EDITION_NOT_OPEN = MessageText(
    "connector.personal-edition-not-open", "The personal edition is not open in %(region)s."
)
OPEN_PERSONAL_EDITION = MessageText(
    "connector.open-personal-edition",
    "Open it in the Tencent Cloud console and set its password, or choose another region.",
)
TENCENT_CLOCKS_DIFFER = MessageText(
    "connector.tencent-clocks-differ",
    "The clocks of this machine and of Tencent Cloud differ by more than five minutes.",
)
SECRET_REFUSED = MessageText("connector.secret-refused", "Tencent Cloud refuses the SecretId or the SecretKey.")
CORRECT_SECRET = MessageText(
    "connector.correct-secret",
    "Correct them. The key may also be disabled or deleted; a docker login is not an API key.",
)
ISOLATED_OR_PAUSED = MessageText("connector.isolated-or-paused", "isolated or paused")
NO_TCR_IN_REGION = MessageText(
    "connector.no-tcr-in-region", "Tencent Cloud has no container registry in the region “%(region)s”."
)
CHOOSE_REGION = MessageText("connector.choose-region", "Choose the region of the instance.")
TENCENT_UNKNOWN = MessageText("connector.tencent-unknown", "Tencent Cloud did not find what %(right)s requested.")
DELETED_OR_OTHER_REGION = MessageText(
    "connector.deleted-or-other-region", "It may have been deleted, or be in another region."
)
TENCENT_FAILED = MessageText("connector.tencent-failed", "Tencent Cloud failed on %(right)s (%(code)s).")
TRY_LATER_OR_SUPPORT = MessageText(
    "connector.try-later-or-support", "Try again later. If it keeps happening, give this code to Tencent Cloud support."
)
TENCENT_REFUSES = MessageText("connector.tencent-refuses", "Tencent Cloud refuses %(right)s (%(code)s).")
NO_CODE = MessageText("connector.no-code", "no code")
CHECK_REGION_AND_ENDPOINT = MessageText(
    "connector.check-region-and-endpoint",
    "Check the region and the API endpoint. The API documentation of Tencent Cloud explains the code.",
)
INSTANCE_NOT_RUNNING = MessageText(
    "connector.instance-not-running", "The instance is not running: Tencent Cloud reports “%(status)s”."
)
CHECK_INSTANCE = MessageText(
    "connector.look-at-instance",
    "Check it in the Tencent Cloud console: an isolated instance has expired and can be renewed for some days.",
)

# --- tencent_lists
COUNTS_DIFFER = MessageText("connector.counts-differ", "Tencent Cloud counts %(total)d entries, but lists %(seen)d.")
NEXT_SYNC_TRIES_AGAIN = MessageText(
    "connector.next-sync-tries-again",
    "The next sync tries again. If it keeps happening, the key may be allowed to see only some of them.",
)
LIST_OF_ANOTHER_FORM = MessageText(
    "connector.list-of-another-form", "A list from Tencent Cloud contains an entry of an unexpected form."
)

# --- tencent_personal
REGISTRY_PASSWORD_MISSING = MessageText(
    "connector.registry-password-missing",
    "The registry password is missing: the personal edition has its own password for pulling.",
)
ENTER_UIN_AND_PASSWORD = MessageText(
    "connector.enter-uin-and-password",
    "Edit the registry: enter the account ID (UIN) and the password that was set when it was opened.",
)
API_RESPONSE = MessageText("connector.answer-of-api", "response of the API")

# --- what an account lacks that is shown nothing (connectors.list_rights)
NOTHING_VISIBLE = MessageText("connector.nothing-visible", "The registry shows no repository to this account.")
NOTHING_VISIBLE_TO_ANYBODY = MessageText(
    "connector.nothing-visible-to-anybody", "The registry shows no repository without a sign-in."
)
LIST_RIGHTS = MessageText(
    "connector.list-rights",
    "If the registry holds any, give the account the right to read the catalog and its repositories (zot: the action"
    " “read” in accessControl; scope maps: content/read and metadata/read), or enter the repositories as a fixed list.",
)
LIST_RIGHTS_HARBOR = MessageText(
    "connector.list-rights-harbor",
    "If Harbor holds any, give the robot account “List Repository”, “List Artifact” and “List Tag” in the projects, or"
    " make the user a member of them.",
)
LIST_RIGHTS_QUAY = MessageText(
    "connector.list-rights-quay",
    "If Quay holds any, give the robot account the permission Read on the repositories, or the token the scope"
    " repo:read of a user who may see them.",
)
LIST_RIGHTS_JFROG = MessageText(
    "connector.list-rights-jfrog",
    "If Artifactory holds any, give the account the permission Read on the repositories that hold the images.",
)
LIST_RIGHTS_AWS = MessageText(
    "connector.list-rights-aws",
    "If ECR holds any, check the account and region of the address, and allow ecr:DescribeRepositories on all of its"
    " repositories.",
)
LIST_RIGHTS_TENCENT = MessageText(
    "connector.list-rights-tencent",
    "If it holds any, check the region, and allow the key tcr:Describe* on all of its repositories.",
)

# --- vendors
PACKAGES_NOT_LISTABLE = MessageText(
    "connector.packages-not-listable", "The account may not list the repositories of: %(owners)s."
)
AUTHORIZE_TOKEN = MessageText(
    "connector.authorize-token", "Give the token the right to read there, and authorize it for the organization."
)
LIST_OF_PACKAGES = MessageText("connector.list-of-packages", "the list of packages")
LIST_OF_NAMESPACES = MessageText("connector.list-of-namespaces", "the list of namespaces")
MAKE_REPORTER = MessageText(
    "connector.make-reporter", "Give the account the role Reporter or more in these projects, or type the repositories."
)
HUB_SIGN_IN = MessageText("connector.hub-sign-in", "a sign-in")
HUB_GAVE_NO_TOKEN = MessageText("connector.hub-gave-no-token", "Docker Hub's API took the sign-in and gave no token.")
HUB_NEEDS_SIGN_IN = MessageText("connector.hub-needs-sign-in", "Docker Hub lists nothing without a sign-in.")
TYPE_HUB_REPOSITORIES = MessageText(
    "connector.type-hub-repositories", "Enter a user and an access token, or the repositories as a fixed list."
)
GITLAB_API_REFUSES = MessageText(
    "connector.gitlab-api-refuses", "GitLab's registry takes these credentials, and its API does not."
)
USE_TOKEN_WITH_API = MessageText(
    "connector.use-token-with-api",
    "Use an access token with read_api and read_registry. With a deploy token, enter the repositories as a fixed list.",
)
