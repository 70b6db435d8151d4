"""The messages of Trivy's server (``trivy.cache.v1``, ``trivy.scanner.v1``), with members named as in Trivy's JSON.

The numbers are those of ``rpc/*/service.proto`` of Trivy's sources (0.76). What Trivy's JSON of a layer has and its
messages have no field for is left out of the tables on purpose: the content sets and the module of a package of Red Hat
and its kin among them. Who has such a layer asks Trivy without its server.
"""

from __future__ import annotations

from scanning.engines.trivy.protobuf import Field, Kind, Table

TEXT, NUMBER, FLAG = Kind.TEXT, Kind.NUMBER, Kind.FLAG
RELATIONSHIPS = ("unknown", "root", "workspace", "direct", "indirect")
LICENSE_TYPES = ("", "dpkg", "header", "license-file")
SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
STATUSES = (
    *("unknown", "not_affected", "affected", "fixed", "under_investigation", "will_not_fix", "fix_deferred"),
    "end_of_life",
)

OPERATING_SYSTEM = Table(
    {
        "Family": Field(1),
        "Name": Field(2),
        "EOSL": Field(3, FLAG),
        "extended": Field(4, FLAG),
        "Supplier": Field(5),
    }
)
REPOSITORY = Table({"Family": Field(1), "Release": Field(2)})
LAYER = Table({"Digest": Field(1), "DiffID": Field(2)}, ignored=("CreatedBy", "Size"))
LOCATION = Table({"StartLine": Field(1, NUMBER), "EndLine": Field(2, NUMBER)})
PACKAGE = Table(
    {
        "ID": Field(13),
        "Name": Field(1),
        "Version": Field(2),
        "Release": Field(3),
        "Epoch": Field(4, NUMBER),
        "Identifier": Field(19, Table({"PURL": Field(1), "BOMRef": Field(2), "UID": Field(3)})),
        "Arch": Field(5),
        "SrcName": Field(6),
        "SrcVersion": Field(7),
        "SrcRelease": Field(8),
        "SrcEpoch": Field(9, NUMBER),
        "Licenses": Field(15, many=True),
        "Locations": Field(20, LOCATION, many=True),
        "Layer": Field(11, LAYER),
        "FilePath": Field(12),
        "DependsOn": Field(14, many=True),
        "Digest": Field(16),
        "Dev": Field(17, FLAG),
        "Indirect": Field(18, FLAG),
        "Maintainer": Field(21),
        "Relationship": Field(22, NUMBER, names=RELATIONSHIPS),
        "AnalyzedBy": Field(23),
        "Repository": Field(24, Table({"Class": Field(1)})),
    },
    ignored=("InstalledFiles",),  # nobody asks the server for them
)
LINE = Table(
    {
        "Number": Field(1, NUMBER),
        "Content": Field(2),
        "IsCause": Field(3, FLAG),
        "Annotation": Field(4),
        "Truncated": Field(5, FLAG),
        "Highlighted": Field(6),
        "FirstCause": Field(7, FLAG),
        "LastCause": Field(8, FLAG),
    }
)
SECRET_FINDING = Table(
    {
        "RuleID": Field(1),
        "Category": Field(2),
        "Severity": Field(3),
        "Title": Field(4),
        "StartLine": Field(5, NUMBER),
        "EndLine": Field(6, NUMBER),
        "Code": Field(7, Table({"Lines": Field(1, LINE, many=True)})),
        "Match": Field(8),
        "Layer": Field(10, LAYER, always=True),  # the server breaks off where it is missing
        "Offset": Field(11, NUMBER),
    }
)
LICENSE_FILE = Table(
    {
        "Type": Field(1, NUMBER, names=LICENSE_TYPES),
        "FilePath": Field(2),
        "PkgName": Field(3),
        "Findings": Field(4, Table({"Name": Field(2)}, ignored=("Category", "Confidence", "Link")), many=True),
        "Layer": Field(5, LAYER),
    }
)
# A layer, as Trivy's cache has it.
BLOB = Table(
    {
        "SchemaVersion": Field(1, NUMBER),
        "OS": Field(2, OPERATING_SYSTEM),
        "Repository": Field(11, REPOSITORY),
        "PackageInfos": Field(3, Table({"FilePath": Field(1), "Packages": Field(2, PACKAGE, many=True)}), many=True),
        "Applications": Field(
            4, Table({"Type": Field(1), "FilePath": Field(2), "Packages": Field(3, PACKAGE, many=True)}), many=True
        ),
        "OpaqueDirs": Field(5, many=True),
        "WhiteoutFiles": Field(6, many=True),
        "Digest": Field(7),
        "DiffID": Field(8),
        "Secrets": Field(12, Table({"FilePath": Field(1), "Findings": Field(2, SECRET_FINDING, many=True)}), many=True),
        "Licenses": Field(13, LICENSE_FILE, many=True),
    },
    ignored=("Size", "CreatedBy"),
)
PUT_BLOB = Table({"DiffID": Field(1), "BlobInfo": Field(3, BLOB)})
SCAN = Table(
    {
        "Target": Field(1),
        "ArtifactID": Field(2),
        "BlobIDs": Field(3, many=True),
        "Options": Field(4, Table({"PkgTypes": Field(1, many=True), "Scanners": Field(2, many=True)})),
    }
)
# What is said of the vulnerability itself (title, text, scores) is not read: it comes from the database alone.
VULNERABILITY = Table(
    {
        "VulnerabilityID": Field(1),
        "PkgName": Field(2),
        "InstalledVersion": Field(3),
        "FixedVersion": Field(4),
        "Severity": Field(7, NUMBER, names=SEVERITIES),
        "Layer": Field(10, LAYER),
        "SeveritySource": Field(11),
        "PrimaryURL": Field(14),
        "PkgID": Field(23),
        "Status": Field(24, NUMBER, names=STATUSES),
        "PkgIdentifier": Field(25, Table({"PURL": Field(1), "UID": Field(3)})),
    }
)
RESULT = Table(
    {
        "Target": Field(1),
        "Vulnerabilities": Field(2, VULNERABILITY, many=True),
        "Type": Field(3),
        "Packages": Field(5, PACKAGE, many=True),
        "Class": Field(6),
        "Secrets": Field(8, SECRET_FINDING, many=True),
    }
)
SCANNED = Table({"OS": Field(1, OPERATING_SYSTEM), "Results": Field(3, RESULT, many=True)})
# The same of packages of our own choice, of which the matches alone are asked.
MATCHED = Table(
    {
        "Results": Field(
            3,
            Table(
                {
                    "Vulnerabilities": Field(
                        2,
                        Table(
                            {
                                name: field
                                for name, field in VULNERABILITY.fields.items()
                                if name not in ("PkgName", "InstalledVersion", "PkgID", "PkgIdentifier")
                            }
                        ),
                        many=True,
                    )
                }
            ),
            many=True,
        )
    }
)
DELETE_BLOBS = Table({"BlobIDs": Field(1, many=True)})
