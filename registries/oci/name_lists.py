"""Lists of names in pages (distribution-spec, "Content Discovery"), of registries that keep to no rule of paging.

The Link tells what comes next. Without one a list is not believed to be over before that is shown: some registries send
full pages without it (renovate#18447), some cut pages below what was asked for (nexus-public#117), some ignore where to
go on. One question more shows which it is, and is not asked again where it has shown that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from registries.oci import messages, strict_json
from registries.oci.errors import InvalidNames, MalformedResponse, RegistryError, TooLarge
from registries.oci.headers import next_query
from registries.oci.references import is_repository, is_tag
from registries.oci.responses import RegistryResponse, not_a_registry

PAGE_SIZE = 1000
MAX_PAGE_NAMES = 200_000  # of a registry that gives them all at once, whatever it is asked for
MIN_PAGE_SIZE = 5
MAX_NAMES = 10_000_000
MAX_EMPTY_PAGES = 1000
SURE_AFTER_PROBES = 3  # lists of one length that proved to be whole, before another of that length is believed
REPOSITORY_GONE_CODES = frozenset({"NAME_UNKNOWN", "NOT_FOUND"})  # the specification's word, and Harbor's
# What a registry may answer to a cursor that it has not given out itself (ECR Public: 405).
_CURSOR_REFUSED = frozenset({400, 404, 405, 406, 410, 416, 422, 501})


@dataclass
class PagingHabits:
    """What one registry has shown of how it pages lists of one kind. Threads may overwrite each other's: it is asked
    once more then."""

    links: bool = False  # it says itself what comes next
    whole: bool = False  # it gives all at once, wherever it is asked to go on
    proven: int = 0  # a list of so many names was whole: pages are not cut below that
    probes: int = 0  # how often a list of that length was

    def may_be_cut(self, count: int) -> bool:
        """Whether a page of ``count`` names without a Link may be less than all."""
        if self.links or self.whole:
            return False
        return count > self.proven or (count == self.proven and self.probes < SURE_AFTER_PROBES)

    def note_whole(self, count: int) -> None:
        """Note that a list of ``count`` names on one page was whole."""
        self.probes = self.probes + 1 if count == self.proven else 1
        self.proven = max(self.proven, count)


class NameList:
    """One list, read page by page: ``get`` asks for the page of a query, ``fail`` makes the error of an answer."""

    def __init__(
        self,
        key: str,
        habits: PagingHabits,
        *,
        get: Callable[[str], RegistryResponse],
        fail: Callable[[RegistryResponse], RegistryError],
    ) -> None:
        """``key`` is "tags" or "repositories"."""
        self._key, self._habits, self._get, self._fail = key, habits, get, fail
        self._is_valid = is_tag if key == "tags" else is_repository
        self._size, self._total, self._invalid = PAGE_SIZE, 0, 0
        self._empty = 0  # pages in a row
        self._had_full_page = False  # then a shorter one is the last
        self._requested: set[str] = set()

    def names(self) -> Iterator[str]:
        """Yield all names. Raises what ``fail`` gives, and InvalidNames at the end for names no request can hold."""
        query: str | None = urlencode({"n": self._size})
        made_up = False  # whether the registry has not said itself to ask for ``query``
        before: list[str] = []
        while query is not None:
            self._requested.add(query)
            response = self._get(query)
            if response.status in {400, 422} and self._may_halve():
                self._size //= 2
                query = urlencode({"n": self._size})
                continue
            if response.status == 404 and self._key == "tags" and response.error_code() in REPOSITORY_GONE_CODES:
                return
            if made_up and response.status in _CURSOR_REFUSED:
                self._note_end(before)
                break
            if response.status != 200:
                raise self._fail(response)
            names = read_page(response, self._key)
            if names and names == before:
                yield from self._beyond_repeated(names)
                break
            yield from self._valid(names)
            self._empty = 0 if names else self._empty + 1
            if made_up and not names:
                self._note_end(before)
            link = next_query(response.headers.get("Link", ""))
            self._habits.links = self._habits.links or bool(link)
            query, made_up = self._following(query, link, names), link is None
            before = names
        if self._invalid:
            raise InvalidNames(messages.NAMES_UNFIT(unfit=self._invalid), messages.RENAME_REPOSITORIES_OR_TAGS())

    def _may_halve(self) -> bool:
        return len(self._requested) <= 10 and not self._total and self._size > MIN_PAGE_SIZE

    def _valid(self, names: list[str]) -> Iterator[str]:
        self._total += len(names)
        valid = [name for name in names if self._is_valid(name)]
        self._invalid += len(names) - len(valid)
        yield from valid

    def _note_end(self, last_page: list[str]) -> None:
        """Note that nothing came behind ``last_page``, though no Link said so."""
        if len(last_page) == self._total:
            self._habits.note_whole(self._total)

    def _following(self, query: str, link: str | None, names: list[str]) -> str | None:
        """Return what to ask for next; None at the end. Raises MalformedResponse for a list that leads in a circle."""
        if link is None:
            full = len(names) >= self._size
            self._had_full_page = self._had_full_page or full
            if not names or not (full or (self._habits.may_be_cut(len(names)) and not self._had_full_page)):
                return None
            link = urlencode({"n": self._size, "last": names[-1]})
        if link == query:
            return None
        if not link or link in self._requested or self._total > MAX_NAMES or self._empty > MAX_EMPTY_PAGES:
            raise MalformedResponse(messages.LIST_WITHOUT_END(), messages.ENTER_LIST_AND_REPORT())
        return link

    def _beyond_repeated(self, names: list[str]) -> Iterator[str]:
        """Yield what there is beside ``names``, a page that came twice: the registry ignores where to go on.

        A page that is not full holds all it has then. A full one is asked for once more, far larger.
        """
        self._habits.whole = True
        if len(names) != self._size:
            return
        response = self._get(urlencode({"n": MAX_PAGE_NAMES}))
        if response.status != 200:
            raise MalformedResponse(messages.LIST_CUT_OFF(count=len(names)), messages.ENTER_LIST_AND_REPORT())
        if len(everything := read_page(response, self._key)) > len(names):
            yield from self._valid([name for name in everything if name not in set(names)])


def read_page(response: RegistryResponse, key: str) -> list[str]:
    """Return the names of one page. Raises NotARegistry, TooLarge and MalformedResponse."""
    if response.is_web_page:
        raise not_a_registry(response)
    if response.content.count(b",") > MAX_PAGE_NAMES:  # in memory they would take many times the space of the answer
        raise TooLarge(messages.TOO_MANY_NAMES(page_names=MAX_PAGE_NAMES), messages.CHECK_RESPONDING_SERVER())
    body: Any = strict_json.load(response.content, messages.LIST())
    names = (body or {}).get(key) or [] if isinstance(body, (dict, type(None))) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MalformedResponse(messages.NO_NAME_IN_LIST(), messages.CHECK_TYPE())
    return names
