"""What sort of harm a vulnerability does, from its weaknesses (CWE) and its CVSS vector; and sorts of packages."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# kind → weaknesses, by https://cwe.mitre.org (research view: parents with the children that databases name)
RISK_KINDS: tuple[tuple[Promise, frozenset[int]], ...] = (
    (_("Code execution"), frozenset({77, 78, 88, 94, 95, 96, 98, 434, 470, 502, 913, 917, 1336})),
    (_("Injection"), frozenset({20, 74, 79, 80, 89, 90, 91, 93, 113, 116, 117, 138, 611, 776, 943, 1321})),
    (_("Memory corruption"), frozenset({119, 120, 121, 122, 123, 124, 125, 126, 127, 129, 131, 134, 190, 191, 193})),
    (_("Memory corruption"), frozenset({415, 416, 476, 562, 665, 680, 690, 763, 787, 788, 805, 822, 824, 843, 908})),
    (_("Denial of service"), frozenset({185, 248, 369, 400, 401, 404, 407, 409, 617, 674, 770, 772, 789, 834, 835})),
    (_("Denial of service"), frozenset({1050, 1284, 1333})),
    (_("Improper access control"), frozenset({250, 264, 266, 269, 276, 284, 285, 287, 290, 294, 306, 425, 639, 732})),
    (_("Improper access control"), frozenset({798, 862, 863, 1188})),
    (_("Request forgery"), frozenset({352, 441, 918})),
    (_("File access"), frozenset({22, 23, 35, 36, 59, 61, 73, 367, 377, 379, 552})),
    (_("Information disclosure"), frozenset({200, 201, 203, 208, 209, 212, 385, 497, 522, 532, 538, 668})),
    (_("Weak cryptography"), frozenset({295, 297, 310, 311, 319, 320, 325, 326, 327, 328, 330, 331, 335, 338, 345})),
    (_("Weak cryptography"), frozenset({347, 354, 916})),
)

# type of a package URL → what it is called on screen
PACKAGE_TYPES: dict[str, str | Promise] = {
    "deb": "Debian, Ubuntu",
    "apk": "Alpine",
    "rpm": "RPM",
    "npm": "npm",
    "pypi": "Python",
    "maven": "Java",
    "golang": "Go",
    "gem": "Ruby",
    "nuget": ".NET",
    "cargo": "Rust",
    "composer": "PHP",
    "conan": "C, C++",
    "conda": "Conda",
    "hex": "Elixir",
    "pub": "Dart",
    "swift": "Swift",
    "cocoapods": "CocoaPods",
    "generic": _("Other"),
}


def risk_kinds(*, cwes: Iterable[str], vector: str) -> list[str]:
    """Return the kinds of risk, "From the network" first where neither a person nor an account is needed for it."""
    numbers = {int(digits) for cwe in cwes if (digits := cwe.removeprefix("CWE-")).isdecimal()}
    found = [str(label) for label, weaknesses in RISK_KINDS if numbers & weaknesses]
    if {"AV:N", "PR:N", "UI:N"} <= set(vector.split("/")):
        found.insert(0, str(_("From the network")))
    return list(dict.fromkeys(found))


def type_label(kind: str) -> str:
    """Return what a type of packages is called."""
    return str(PACKAGE_TYPES.get(kind, kind))
