"""axe-core's judgement of what a page shows now, in both themes, at one load of the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
COLOUR_RULES = {  # what another theme can change
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
# The theme is switched as the button of the page does it: by an attribute, and the colours of buttons change over a
# moment. The turning of a spinner never ends.
AXE_JUDGEMENT_SCRIPT = """async ([part, exclude, rules, colours]) => {
    const root = document.documentElement, chosen = root.dataset.theme, found = [];
    const settled = async () => {
        for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
        const turning = one => one.effect?.getTiming().iterations === Infinity;
        const ending = document.getAnimations().filter(one => !turning(one));
        await Promise.all(ending.map(one => one.finished.catch(() => 0)));
    };
    for (const [theme, options] of [["light", rules], ["dark", colours]]) {
        root.dataset.theme = theme;
        await settled();
        const { violations } = await axe.run({ include: [part], exclude }, options);
        for (const { impact, id, nodes } of violations)
            for (const { target, failureSummary } of nodes.slice(0, 4))
                found.push(`${theme}: ${impact}: ${id}: ${target}: ${failureSummary}`);
    }
    if (chosen) root.dataset.theme = chosen; else delete root.dataset.theme;
    return found;
}"""
# Of rows that are alike the first ones speak for all.
REPEATED_SELECTORS = ["tbody tr:nth-child(n+7)", ".finding:nth-of-type(n+7)", ".timeline li:nth-child(n+7)"]
LOADED_SCRIPT = "() => !document.querySelector('.htmx-request, .htmx-swapping, .loading')"


@dataclass
class AccessibilityChecker:
    """Gathers what is wrong anywhere, so that one run names all of it."""

    page: Page
    wrong: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def thin(self) -> None:
        """Take away what is judged nowhere, for axe-core goes through all that there is."""
        self.page.evaluate(
            "all => document.querySelectorAll(all).forEach(one => one.remove())", ", ".join(REPEATED_SELECTORS)
        )

    def look(self, where: str, part: str = "html") -> None:
        """Judge the page, or only what ``part`` (a selector) shows of it, light and dark."""
        self.page.wait_for_function(LOADED_SCRIPT)
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(AXE_SCRIPT)
        found: list[Any] = self.page.evaluate(AXE_JUDGEMENT_SCRIPT, [part, REPEATED_SELECTORS, RULES, COLOUR_RULES])
        self.seen.append(where)
        self.wrong += [f"{where}, {what}" for what in found]

    def verdict(self) -> str:
        """Return all that is wrong, a line each."""
        return "\n".join(self.wrong)
