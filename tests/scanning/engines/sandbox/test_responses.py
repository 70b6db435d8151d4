"""Answers of the program that reads layers which cannot be meant: all are refused."""

from __future__ import annotations

import json

import pytest

from scanning.engines.sandbox.protocol import PACKET_BYTES, MalformedMessage
from scanning.engines.sandbox.responses import ResponseReader


def note(text: str, values: dict[str, object]) -> bytes:
    """Return a packet with a note of what was not looked at."""
    return json.dumps({"skipped": [json.dumps([text, "yara.given-up", values])]}).encode()


ANSWERS = {
    "no JSON": b"{",
    "no object": b"[]",
    "another kind": b'{"ready":[]}',
    "two kinds": b'{"hits":[],"done":[0,0]}',
    "too deep": b"[" * 60_000,
    "too long": b'{"skipped":["' + b"x" * PACKET_BYTES + b'"]}',
    "an endless number": b'{"done":[0,' + b"9" * 5000 + b"]}",
    "below zero": b'{"done":[0,-1]}',
    "no whole number": b'{"done":[0,1.0]}',
    "no number": b'{"done":[0,true]}',
    "one number": b'{"done":[0]}',
    "no list": b'{"hits":{}}',
    "another rule": b'{"hits":[["team/x.yar","Made_Up","a",1,"' + b"0" * 64 + b'"]]}',
    "a rule that is none": b'{"hits":[[[],{},"a",1,"' + b"0" * 64 + b'"]]}',
    "no hash": b'{"hits":[["tallyman/test_file.yar","EICAR_Test_File","a",1,"' + b"g" * 64 + b'"]]}',
    "a path that is no text": b'{"hits":[["tallyman/test_file.yar","EICAR_Test_File","a\\n",1,"' + b"0" * 64 + b'"]]}',
    "half a character": b'{"skipped":["\\ud800"]}',
    "a zero": b'{"skipped":["\\u0000"]}',
    "a long path": b'{"hits":[["tallyman/test_file.yar","EICAR_Test_File","'
    + b"a" * 1001
    + b'",1,"'
    + b"0" * 64
    + b'"]]}',
    "many lines": b'{"skipped":[' + b",".join([b'"x"'] * 51) + b"]}",
    "files, which nobody asked for": b'{"files":[["a",1,0]]}',
    "a message with half a character": note("\ud800", {}),
    "a message with a zero among its values": note("a", {"path": "\0"}),
    "a message in a message": note("a", {"path": {"message": ["a\n", "b", {}]}}),
    "a message with a list": note("a", {"path": ["a"] * 3}),
}


def test_a_note_of_the_program_is_a_message() -> None:
    answers = ResponseReader(
        iter(
            [note("1 file whose scan was stopped after 3 s: a", {"path": "a", "timeout": 3}), b'{"done":[1,2]}']
        ).__next__
    )
    assert list(answers.look(())) == []
    assert [(told, told.code, told.values) for told in answers.skipped] == [
        ("1 file whose scan was stopped after 3 s: a", "yara.given-up", {"path": "a", "timeout": 3})
    ]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_cannot_be_meant_is_refused(answer: bytes) -> None:
    with pytest.raises(MalformedMessage):
        list(
            ResponseReader(iter([answer, b'{"done":[0,0]}']).__next__).look(
                {("tallyman/test_file.yar", "EICAR_Test_File")}
            )
        )


WALKS = {
    "behind the end": b'{"files":[["a",2,99]]}',
    "a piece behind the end": b'{"segments":[[0,99,2]]}',
    "a piece beyond the file": b'{"segments":[[5,0,2]]}',
    "pieces of a whole file": b'{"segments":[[0,0,1]]}',
    "no place": b'{"files":[["a",1,"0"]]}',
    "hits": b'{"hits":[]}',
    "two damages": b'{"damaged":["a","b"]}',
}


@pytest.mark.parametrize("answer", WALKS.values(), ids=WALKS.keys())
def test_a_place_outside_of_the_layer_is_refused(answer: bytes) -> None:
    last = b'{"files":[["a",6,null]]}' if b"[5," in answer else b'{"files":[["a",6,0]]}'
    with pytest.raises(MalformedMessage):
        list(ResponseReader(iter([answer, last, b'{"done":[0]}']).__next__).walk(100))


def test_pieces_without_end_are_refused() -> None:
    packet = b'{"segments":[' + b",".join([b"[0,0,0]"] * 6000) + b"]}"
    with pytest.raises(MalformedMessage):
        list(ResponseReader(lambda: packet).walk(100))


def test_findings_without_end_are_refused() -> None:
    hit = b'["a","b","c",1,"' + b"0" * 64 + b'"]'
    packet = b'{"hits":[' + b",".join([hit] * 500) + b"]}"
    with pytest.raises(MalformedMessage):
        list(ResponseReader(lambda: packet).look({("a", "b")}))
