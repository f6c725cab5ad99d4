"""A page in a real browser without a window: what it becomes, and what its console says."""

import re
import shutil
import subprocess

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="PAGES NOT TESTED IN A BROWSER: apt-get install chromium"
)


def rendered(page, script=""):
    """The document after the page, and then ``script``, have run, and the messages of the console."""
    page = page.absolute()
    tried = page.with_name("tried.html")
    whole = page.read_text("utf-8")
    tried.write_text(whole.replace("</body>", f"<script>{script}</script></body>"), "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    flags += ["--virtual-time-budget=3000", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]
    command = [CHROMIUM, *flags, f"--user-data-dir={page.parent / 'browser'}", tried.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said = [line for line in done.stderr.splitlines() if re.search(r"CONSOLE", line)]
    return done.stdout, said
