"""Check a folder of HTML pages: links and anchors inside it lead somewhere, and nothing is loaded from elsewhere.

python scripts/check_site.py build/docs
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
_NOT_LOADED = {"canonical", "alternate", "license", "author"}


@dataclass
class Page:
    """What a page has: anchors, links to follow, and what a browser loads with it."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.page.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.page.links.append(given["href"])
        if _LOADED.get(tag, "") in given and given.get("rel") not in _NOT_LOADED:
            self.page.loaded.append(given[_LOADED[tag]])


def read_page(text: str) -> Page:
    """What a page has."""
    reader = _Reader()
    reader.feed(text)
    return reader.page


def problems_of(folder: Path) -> list[str]:
    """A line for each link, anchor or file of the pages in a folder that is not there."""
    pages = {
        path.resolve(): read_page(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.html")
        if path.parent.name != "_static"
    }
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        found += [f"{name}: loads {url} from elsewhere" for url in page.loaded if _outside(url)]
        targets = [url for url in [*page.links, *page.loaded] if not _outside(url)]
        found += [f"{name}: {url} {what}" for url in dict.fromkeys(targets) if (what := _fault(url, path, pages))]
    return found or ([] if pages else [f"{folder} holds no pages"])


def _outside(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in ("", "file")


def _fault(url: str, page: Path, pages: dict[Path, Page]) -> str:
    """What is wrong with a link of a page; empty where nothing is."""
    parts = urlsplit(url)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return "leads to no file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "leads to no anchor"
    return ""


def main() -> int:
    """Print what is wrong; 1 where something is."""
    found = problems_of(Path(sys.argv[1]))
    print("\n".join(found) or "all links and anchors lead somewhere")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
