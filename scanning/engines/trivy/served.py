"""One image by Trivy's server: what is known of its layers goes there, and what they make together comes back."""

from __future__ import annotations

import json
from functools import partial

from scanning.engines.base import ImageReport, StopCheck
from scanning.engines.trivy import rpc_messages
from scanning.engines.trivy.cache import CachedLayer
from scanning.engines.trivy.command import SCANNER_NAMES
from scanning.engines.trivy.image_report import make_image_report
from scanning.engines.trivy.match import RAPIDFORT_MARK
from scanning.engines.trivy.protobuf import NotEncodable, encode
from scanning.engines.trivy.report import read_answer
from scanning.engines.trivy.server import LayerRecord, MatchServer, layer_record
from scanning.engines.trivy.setup import AnalysisRequest, TrivySetup

LAYER_SCHEMA = 2  # of Trivy's records of layers


def analyze_on_server(
    server: MatchServer, tool: TrivySetup, request: AnalysisRequest, *, check: StopCheck
) -> ImageReport:
    """Return what Trivy tells of an image, by the notes of its layers.

    Raises NotEncodable where its layers' notes say what the server is not told, or one has none; ServerFailed,
    EngineError, and what ``check`` raises.
    """
    layers, notes = request.image.layers, request.notes
    if not notes.keys() >= {layer.diff_id for layer in layers}:
        raise NotEncodable("a layer of which nothing could be kept")
    answer = server.scan(
        [_record_of(layer.diff_id, notes[layer.diff_id]) for layer in layers],
        executable=tool.executable,
        database=tool.database.folder if tool.database else tool.empty_database,
        home=tool.home,
        scanners=[SCANNER_NAMES[category] for category in sorted(tool.categories)],
        table=rpc_messages.SCANNED,
        check=check,
        timeout=request.timeout,
    )
    return make_image_report(tool, read_answer(answer), layers, notes)


def _record_of(diff_id: str, note: CachedLayer) -> LayerRecord:
    return layer_record(diff_id.encode() + b"\n" + note.record, partial(_encoded, diff_id, note))


def _encoded(diff_id: str, note: CachedLayer) -> bytes:
    """Return what the server is told of a layer. Raises NotEncodable."""
    if RAPIDFORT_MARK in note.record:
        raise NotEncodable("packages that are matched by more than the server is told")
    try:
        record = json.loads(note.record)
    except (ValueError, RecursionError) as error:
        raise NotEncodable("a record of a form that is not known") from error
    if not isinstance(record, dict) or (record.get("SchemaVersion"), record.get("DiffID")) != (LAYER_SCHEMA, diff_id):
        raise NotEncodable("a record of a form that is not known, or of another layer")
    return encode(record, rpc_messages.BLOB)
