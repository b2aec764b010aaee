"""A headless Chromium that a test drives, and what it was made to ask for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright


@dataclass
class Visit:
    """A page, the hosts of all that it requested (empty for files), and what its console called an error."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser; skips the test where there is no Chromium, which `.ci/run` installs."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visit() -> Iterator[Visit]:
    """Yield an empty page; skips the test where there is no Chromium."""
    with chromium() as browser:
        visited = Visit(browser.new_page(viewport={"width": 1400, "height": 1000}))
        visited.page.on("request", lambda request: visited.hosts.add(urlsplit(request.url).netloc))
        visited.page.on("pageerror", lambda error: visited.errors.append(str(error)))
        visited.page.on(
            "console", lambda said: visited.errors.append(said.text) if said.type in ("error", "warning") else None
        )
        yield visited
