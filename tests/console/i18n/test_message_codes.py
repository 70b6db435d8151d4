"""Messages for people, stored as code and values, and translated for the reader when shown."""

from __future__ import annotations

import ast
import copy
import importlib
import pickle
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings
from django.utils import translation

from console.i18n import messages as display
from console.i18n.message_codes import (
    PLACEHOLDER,
    ExplainedError,
    Message,
    MessageText,
    NoteText,
    PluralText,
    listing,
    parts,
    sentences,
    stored,
)
from console.i18n.messages import register, registered, translate_message
from console.machines import messages as content
from console.machines.content import ContentError
from inventory.sync import messages as sync
from registries.connectors import messages as connectors
from registries.oci import messages as oci
from registries.oci.errors import RegistryError
from scanning.engines.formats import messages as layer
from scanning.engines.formats.layer_errors import CorruptLayer
from scanning.engines.skipped_content import Notes
from scanning.engines.yara import messages as yara
from scanning.execution import messages as scan
from scanning.models import messages as stages
from scanning.runs import messages as runs
from scanning.vulndb import messages as vulndb

ROOT = Path(settings.BASE_DIR)
ACME = "Acme Inc. EU"
SAMPLES = [
    Message("Its own words; no code."),
    runs.WAITING_FOR_HOURLY_LIMIT(registry=ACME),
    sync.INTERRUPTED_AFTER(
        count=4, reason=oci.CERTIFICATE_INVALID(origin="https://r", reason=oci.CERTIFICATE_EXPIRED())
    ),
    sync.UNREAD(names=["a", sync.LIST_OF_REPOSITORIES()], reason=oci.NO_TOKEN()),
    sentences(oci.NO_TOKEN(), oci.TRY_AGAIN()),
    MessageText("t", "{at} and {on}, {n}, {more}")(
        at=datetime(2026, 11, 23, 10, 30, tzinfo=UTC), on=date(2026, 11, 3), n=1.5, more=None
    ),
    Message('["looks like one that is stored"]'),
    Message(),
]


def in_chinese(text: str) -> str:
    with translation.override("zh-hans"):
        return translate_message(text)


@pytest.mark.parametrize("message", SAMPLES)
def test_a_message_is_kept_whole(message: Message) -> None:
    again = Message.from_stored(message.to_stored())
    assert again == message
    assert (str(again), again.code, again.values) == (str(message), message.code, message.values)
    assert in_chinese(again) == in_chinese(message) == in_chinese(stored(message))
    assert copy.deepcopy(message) == pickle.loads(pickle.dumps(message)) == message  # our own
    assert isinstance(pickle.loads(pickle.dumps(message)), Message)


def test_a_time_of_any_zone_is_told_in_english_as_that_of_utc() -> None:
    at = datetime(2026, 11, 23, 10, 30, tzinfo=timezone(timedelta(hours=2)))
    assert MessageText("t", "since {at}")(at=at) == "since 2026-11-23 08:30 UTC"


def test_a_message_does_not_change() -> None:
    with pytest.raises(AttributeError):
        scan.TIMED_OUT(minutes=3).code = "another"


def test_messages_of_the_same_words_and_other_codes_differ() -> None:
    other = Message("Try again.", "other.try-again")
    assert oci.TRY_AGAIN() == "Try again."
    assert oci.TRY_AGAIN() == oci.TRY_AGAIN()
    assert oci.TRY_AGAIN() != other


@pytest.mark.parametrize(
    "written",
    [
        '["text"]',
        '["text","code"]',
        '["text","code",{},1]',
        '["text","code",["values"]]',
        '["text",1,{}]',
        '["text","code",{"name":{"message":3}}]',
        '["text","code",{"name":{"at":"yesterday"}}]',
        '["text","code",{"name":{}}]',
        '["text","code",{"name":' + "[" * 100_000,
        '["broken',
        "The registry limits the rate of requests.",
    ],
)
def test_what_is_no_message_is_shown_as_it_is(written: str) -> None:
    assert Message.from_stored(written) == written
    assert Message.from_stored(written).code == ""
    assert in_chinese(written) == written


def test_a_code_of_a_later_version_is_told_in_the_words_it_came_with() -> None:
    later = Message("The moon is full.", "moon.full", {"share": 100})
    assert in_chinese(Message.from_stored(later.to_stored())) == "The moon is full."


def test_a_text_that_has_got_another_placeholder_since_is_told_in_its_old_words() -> None:
    old = Message("Waiting for Acme.", runs.WAITING_FOR_HOURLY_LIMIT.code, {"name": "Acme"})
    assert in_chinese(old) == "Waiting for Acme."


def test_a_missing_value_is_an_error_where_the_message_is_made() -> None:
    with pytest.raises(KeyError):
        runs.WAITING_FOR_HOURLY_LIMIT(name="Acme")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (runs.WAITING_FOR_HOURLY_LIMIT(registry=ACME), "等待 Acme Inc. EU 的每小时限额。"),
        (runs.WAITING_FOR_HOURLY_LIMIT(registry="Images"), "等待 Images 的每小时限额。"),
        (runs.WAITING_FOR_HOURLY_LIMIT(registry="%(x)s {y}"), "等待 %(x)s {y} 的每小时限额。"),
        (stages.PULLING_SOME(done=3, total=17), "已拉取 3 MiB，共 17 MiB"),
        (oci.HOST_UNKNOWN(host="registry.example"), "无法解析主机名 registry.example。"),
        (
            sentences(oci.NOTHING_LISTENS(host="r.example", port=80), oci.CHECK_PORT()),
            "r.example 的端口 80 没有应答。请检查端口，以及镜像仓库是否在运行。",
        ),
        (sync.INTERRUPTED_AFTER(count=4, reason=oci.NO_TOKEN()), "同步在读取 4 个仓库后中断：令牌服务没有给出令牌。"),
        (sync.COULD_NOT_BE_READ(count=1), "有 1 个仓库或标签无法读取。"),
        (sync.COULD_NOT_BE_READ(count=3), "有 3 个仓库或标签无法读取。"),
        (sync.UNREAD(names=["a", "b"], reason=oci.NO_TOKEN()), "a、b：令牌服务没有给出令牌。"),
        (
            oci.CERTIFICATE_INVALID(origin="https://r.example", reason=oci.CERTIFICATE_EXPIRED()),
            "https://r.example 的证书已过期。",
        ),
        (connectors.TENCENT_REFUSES(right="tcr:X", code=connectors.NO_CODE()), None),
        (listing(["TLS 1.3", Message("as it is")]), "TLS 1.3、as it is"),
    ],
)
def test_a_message_is_told_in_chinese(message: Message, told: str | None) -> None:
    assert translate_message(message) == str(message)
    if told is None:  # all of it is translated
        assert not any(word in in_chinese(message) for word in ("no code", "refuses"))
    else:
        assert in_chinese(message) == told


def test_the_number_decides_between_singular_and_plural() -> None:
    assert sync.COULD_NOT_BE_READ(count=1) == "1 repository or tag could not be read."
    assert sync.COULD_NOT_BE_READ(count=3) == "3 repositories or tags could not be read."
    assert translate_message(sync.COULD_NOT_BE_READ(count=1)) == "1 repository or tag could not be read."


def test_times_are_those_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    text = MessageText("test.times", "At {at}, on {on}.")
    monkeypatch.setitem(display._texts, text.code, text)
    message = text(at=datetime(2026, 11, 23, 23, 30, tzinfo=UTC), on=date(2026, 11, 3))
    assert message == "At 2026-11-23 23:30 UTC, on 3 Nov 2026."
    with translation.override("en"), display.timezone.override("Asia/Shanghai"):
        assert translate_message(message) == "At Nov. 24, 2026, 7:30 a.m., on 3 Nov 2026."


def test_an_error_among_the_values_is_told_by_its_message() -> None:
    message = vulndb.NOT_COPIED_HERE(reason=ContentError(content.PART_MISSING()))
    assert message == "The vulnerability database could not be copied to this machine: a part of it is missing."
    assert "missing" not in in_chinese(message)
    assert "disk" in in_chinese(vulndb.NOT_COPIED_HERE(reason=OSError("disk")))


def test_sentences_are_told_once_each_and_without_gaps() -> None:
    again = sentences(oci.NO_TOKEN(), "", oci.NO_TOKEN(), "Ask Bob.")
    assert again == "The token service returned no token. Ask Bob."
    assert in_chinese(again) == "令牌服务没有给出令牌。Ask Bob."
    assert sentences() == ""
    assert sentences("", oci.NO_TOKEN()) == oci.NO_TOKEN()
    assert len(sentences(sentences(*map(str, range(20))), "20").values["parts"]) == 21  # type: ignore[arg-type]
    assert in_chinese(parts(oci.NO_TOKEN(), oci.TRY_AGAIN())).count("；") == 1


def test_what_was_not_looked_at_is_told_in_chinese_with_its_path() -> None:
    notes = Notes()
    notes.add(layer.ENCRYPTED(), "srv/a; b.zip")
    for n in range(3):
        notes.add(yara.TOO_LARGE(value="4.5"), f"var/disk-{n}.img")
    assert in_chinese(parts(*notes.lines())) == (
        "1 个文件位于加密的压缩包中：srv/a; b.zip；3 个文件超过 4.5 GiB，例如 "
        "var/disk-0.img, var/disk-1.img, var/disk-2.img"
    )


def test_notes_beyond_the_most_are_counted() -> None:
    notes = Notes()
    for n in range(60):
        notes.add(yara.TOO_LARGE(value=str(n)), "a")
    assert notes.lines()[-1] == "11 more for other reasons"
    assert in_chinese(notes.lines()[-1]) == "另有 11 个文件因其他原因未检查"


def test_every_explained_error_has_one_base() -> None:
    error = CorruptLayer(layer.GZIP_TRUNCATED())
    assert isinstance(error, ExplainedError)
    assert issubclass(RegistryError, ExplainedError)
    assert "gzip" in in_chinese(error.reason)
    assert "cannot be unpacked" not in in_chinese(error.reason)


# --- all texts -------------------------------------------------------------------------------------------------------


def modules() -> Iterator[ModuleType]:
    """Yield every module of the product that declares texts."""
    for app in ("console", "registries", "inventory", "scanning"):
        for path in sorted((ROOT / app).rglob("messages.py")):
            if path != ROOT / "console/i18n/messages.py":
                yield importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def texts(module: ModuleType) -> Iterator[MessageText]:
    for value in vars(module).values():
        yield from (value.one, value.many) if isinstance(value, NoteText) else (value,) if is_text(value) else ()


def is_text(value: object) -> bool:
    return isinstance(value, MessageText)


def test_every_text_is_known_to_who_shows_it() -> None:
    declared = {text.code for module in modules() for text in texts(module)}
    assert len(declared) > 500
    assert declared <= registered().keys(), "Name the module in ready() of its app."


def test_two_texts_with_one_code_are_refused() -> None:
    module = ModuleType("twice")
    vars(module).update(A=MessageText("test.twice", "One"), B=MessageText("test.twice", "Two"))
    with pytest.raises(ValueError, match=r"test\.twice"):
        register(module)
    display._texts.pop("test.twice")


def test_the_forms_of_a_plural_are_filled_in_with_the_same() -> None:
    for text in registered().values():
        if isinstance(text, PluralText):
            assert set(PLACEHOLDER.findall(text.plural)) >= set(PLACEHOLDER.findall(text.text))


def test_every_call_gives_what_its_text_is_filled_in_with() -> None:
    wrong = []
    for path in [
        path for app in ("console", "registries", "inventory", "scanning") for path in (ROOT / app).rglob("*.py")
    ]:
        tree = ast.parse(path.read_text("utf-8"))
        known = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    if alias.name == "messages" and node.module not in {"django.contrib", "console.i18n"}:
                        known[alias.asname or alias.name] = importlib.import_module(f"{node.module}.messages")
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in known
                and not any(keyword.arg is None for keyword in node.keywords)
            ):
                text = getattr(known[node.func.value.id], node.func.attr)
                if not isinstance(text, MessageText | NoteText):
                    continue
                given = {keyword.arg for keyword in node.keywords}
                if placeholders(text) != given:
                    wrong.append(
                        f"{path.relative_to(ROOT)}:{node.lineno}: {text.code if is_text(text) else text}: {given}"
                    )
    assert wrong == []


def placeholders(text: MessageText | NoteText) -> set[str]:
    """Return what a call must give: of a note its path and number come later."""
    if isinstance(text, NoteText):
        return placeholders(text.many) - {"count", "path"}
    both = text.text + (text.plural if isinstance(text, PluralText) else "")
    return {named or braced for named, _kind, braced in PLACEHOLDER.findall(both)}
