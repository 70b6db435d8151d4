"""Messages that the models of scanning show to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

WAITING = MessageText("stage.waiting", "waiting for another scan of the same layers")
PULLING = MessageText("stage.pulling", "pulling")
PULLING_SOME = MessageText("stage.pulling-some", "pulling %(done)d of %(total)d MiB")
WAITING_FOR_SPACE = MessageText("stage.waiting-for-room", "waiting for space in the layer store")
ANALYSING = MessageText("stage.analysing", "analysing")
READING = MessageText("stage.reading", "scanning for viruses and trojans")
