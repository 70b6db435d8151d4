"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- diagnose
INTERNAL_ADDRESS = MessageText(
    "connection-test.internal-address", "The console requests the internal address from the API."
)
API_REPORTS_VERSION = MessageText("connection-test.api-reports-version", "The API reports %(version)s.")
NO_CREDENTIALS_NEEDED = MessageText("connection-test.no-credentials-needed", "No credentials are needed.")
NOTHING_RESPONDS = MessageText("connection-test.nothing-answers", "Nothing responds at this address.")
DONE_BY_PROXY = MessageText("connection-test.left-to-proxy", "Done by the proxy.")
AND_MORE = MessageText("connection-test.and-more", " and %(n)d more")
PORT_OPEN = MessageText("connection-test.port-open", "%(address)s, port %(port)d is open")
WITHOUT_TLS = MessageText("connection-test.without-tls", "The address does not use TLS.")
CERTIFICATE_VALID = MessageText("connection-test.certificate-valid", "certificate valid until %(date)s")
ISSUED_BY = MessageText("connection-test.issued-by", "issued by %(name)s")
NOT_VALIDATED = MessageText("connection-test.not-validated", "not validated")
NO_IMAGES_YET = MessageText("connection-test.no-images-yet", "No images yet.")
NO_IMAGE_TO_TRY = MessageText("connection-test.no-image-to-try", "There is no image to test with.")
TRIED_IS_NO_IMAGE = MessageText("connection-test.tried-is-no-image", "The artifact that was tested is not an image.")

# --- background_test
TOO_MANY_TESTS_A_MINUTE = MessageText(
    "connection-test.enough-tests-in-a-minute", "At most %(n)d tests a minute are allowed. Try again in a moment."
)
TOO_MANY_OF_YOUR_TESTS = MessageText(
    "connection-test.enough-of-your-tests", "%(n)d of your tests are already running. Try again when one has finished."
)
TOO_MANY_TESTS = MessageText(
    "connection-test.enough-tests", "Too many tests are running. Try again when one has finished."
)
TEST_INTERRUPTED = MessageText(
    "connection-test.test-broken-off", "The test was interrupted: the console was restarted."
)
TEST_AGAIN = MessageText("connection-test.test-again", "Test again.")
TOOK_TOO_LONG = MessageText("connection-test.took-too-long", "This step took longer than %(n)d seconds.")
TEST_AGAIN_LATER = MessageText(
    "connection-test.test-again-later",
    "The registry may be overloaded, or may limit the rate of requests. Test again later.",
)
UNKNOWN_ERROR = MessageText("connection-test.unknown-error", "An unexpected error stopped the test.")
LOG_HAS_CAUSE = MessageText("connection-test.log-has-cause", "The cause is in the console's log.")
RESOLVED = MessageText("connection-test.resolved", "{host} → {addresses}{more}")
CHECK_PORT_AND_FIREWALL = MessageText(
    "connection-test.check-port-and-firewall",
    "Check the port and that the registry is running. A firewall, or an allowlist at the provider, may block "
    "this machine: the operation guide lists what must be allowed.",
)
NO_REQUEST = MessageText("connection-test.no-request", "No request was made.")
