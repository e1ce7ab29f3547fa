"""A person in front of the real web server, without scripts: logs in, reads pages, fills in forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
from django.test.html import Element, parse_html

PATIENCE = 60.0


class Page:
    """An HTML page, or a part of one."""

    def __init__(self, root: Element):
        self.root = root

    @classmethod
    def read(cls, html: str) -> Page:
        return cls(parse_html(html))

    def find(self, tag: str, **wanted: str) -> list[Element]:
        """All elements of this kind whose attributes have these values; of ``class_``, one of its names."""
        return [element for element in _elements(self.root) if element.name == tag and _has(element, wanted)]

    def part(self, tag: str, **wanted: str) -> Page:
        """The first such element as a page of its own; without one, an empty page."""
        return Page(next(iter(self.find(tag, **wanted)), Element("p", [])))

    def text(self, tag: str, **wanted: str) -> str:
        """The text of the first such element; "" without one."""
        return text_of(self.part(tag, **wanted).root)

    def form(self, action: str = "") -> Element:
        """The first form whose address ends so; without an address, the first that has none.

        Raises:
            LookupError: when there is none.
        """
        for form in self.find("form"):
            address = value_of(form, "action")
            if address.endswith(action) if action else not address:
                return form
        raise LookupError(f"The page “{self.text('title')}” has no form {action}.")


class Visitor:
    """One person with an account."""

    def __init__(self, url: str, name: str, password: str):
        self.name = name
        self._client = httpx2.Client(base_url=url, follow_redirects=True, timeout=PATIENCE, trust_env=False)
        self.submit(self.look("/login/"), "/login/", "", username=name, password=password)

    def look(self, address: str) -> Page:
        """The page at an address."""
        return _read(self._client.get(address))

    def read(self, address: str) -> str:
        """A file at an address."""
        return self._client.get(address).raise_for_status().text

    def submit(
        self, page: Page, address: str, action: str = "", file: Path | None = None, **changes: str | bool
    ) -> Page:
        """Send a form of the page at this address as it stands there but for the changes, and return what comes back.

        Raises:
            LookupError: when the page has no such form, or the form no such field or button.
            ValueError: when the form comes back with errors; the message lists them.
        """
        form = page.form(action)
        sent = fields(form)
        if missing := set(changes) - {value_of(element, "name") for element in _elements(form)}:
            raise LookupError(f"The form at {address} has no {', '.join(sorted(missing))}.")
        for name, value in changes.items():
            if value is False:
                sent.pop(name, None)
            else:
                sent[name] = "on" if value is True else value
        files = {"file": (file.name, file.read_bytes())} if file else None
        answer = _read(self._client.post(value_of(form, "action") or address, data=sent, files=files))
        if errors := [text_of(found) for found in answer.find("ul", class_="errorlist")]:
            raise ValueError(f"The form at {address} was refused: {'; '.join(errors)}")
        return answer

    def press(self, page: Page, action: str, choice: str) -> Page:
        """Press one of the buttons of the form with this address, as the page's script does; a part comes back."""
        form = page.form(action)
        sent = {**fields(form), "choice": choice}
        return _read(self._client.post(value_of(form, "action"), data=sent, headers={"HX-Request": "true"}))

    def close(self) -> None:
        self._client.close()


def text_of(element: Element | str) -> str:
    """All text in an element, every run of white space a single space."""
    parts = [element] if isinstance(element, str) else [text_of(child) for child in element.children]
    return " ".join(" ".join(parts).split())


def value_of(element: Element, attribute: str) -> str:
    """The value of an attribute; "" where it is missing or has none."""
    return dict(element.attributes).get(attribute) or ""


def fields(form: Element) -> dict[str, str]:
    """What the form would send as it stands, buttons left out."""
    sent: dict[str, str] = {}
    for element in _elements(form):
        name, kind, given = value_of(element, "name"), value_of(element, "type"), dict(element.attributes)
        if not name or "disabled" in given:
            continue
        if element.name == "textarea":
            sent[name] = text_of(element)
        elif element.name == "select":
            options = [option for option in _elements(element) if option.name == "option"]
            sent[name] = value_of(max(options, key=lambda option: "selected" in dict(option.attributes)), "value")
        elif element.name == "input" and kind != "file" and (kind != "checkbox" or "checked" in given):
            sent[name] = value_of(element, "value") or ("on" if kind == "checkbox" else "")
    return sent


def _read(answer: httpx2.Response) -> Page:
    # 409: somebody else was faster; the page says so, and shows the next document.
    if answer.status_code != httpx2.codes.CONFLICT:
        answer.raise_for_status()
    return Page.read(answer.text)


def _elements(element: Element) -> Iterator[Element]:
    for child in element.children:
        if isinstance(child, Element):
            yield child
            yield from _elements(child)


def _has(element: Element, wanted: Mapping[str, str]) -> bool:
    given = dict(element.attributes)
    names = (given.get("class") or "").split()
    return all(
        value in names if name == "class_" else given.get(name.replace("_", "-")) == value
        for name, value in wanted.items()
    )
