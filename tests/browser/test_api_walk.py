"""The walk of docs/api.md as it stands there, with curl, through the running product."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import log_in
from tests.site import ROOT, Site

pytestmark = pytest.mark.any_database


@pytest.fixture(scope="module")
def said(site: Site) -> str:
    """What the walk prints; it leaves a project with a model."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    walk = "".join(re.findall(r"```bash\n(.*?)```", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.DOTALL))
    token = site.manage("create_token", "admin", "--scope", "manage").strip()
    environment = os.environ | {"URL": f"{site.url}/api", "TOKEN": token, "NO_PROXY": "*"}
    command = ["bash", "-euo", "pipefail", "-c", walk]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_walk_of_the_documentation(said: str):
    assert said.count("done\n") == 3
    assert "M-1,Mind the hole in Mill Lane," in said
    answer = json.loads(said[said.rindex('{"model"') :])
    assert [one["label"]["name"] for one in answer["suggestions"]] == ["Pothole", "Missed collection"]
    assert answer["queued"]


def test_a_file_is_labelled_in_the_browser(page: Page, site: Site, said: str, tmp_path):
    (tmp_path / "new.csv").write_text("id,text\n1,They left our rubbish\n2,A hole in the road\n", encoding="utf-8")
    log_in(page, site, "admin")
    page.goto("/p/letters/")
    page.get_by_role("link", name="Label a file").click()
    page.locator("#id_file").set_input_files(tmp_path / "new.csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Label it").click()
    assert download.value.suggested_filename == "letters-new-labelled.csv"
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        assert [row["predicted_label"] for row in csv.DictReader(file)] == ["Missed collection", "Pothole"]


def test_a_token_is_made_in_the_browser(page: Page, site: Site):
    log_in(page, site, "admin")
    page.locator("details.menu summary").click()
    page.get_by_role("link", name="API").click()
    page.get_by_label("What it is for").fill("nightly")
    page.get_by_role("button", name="Create it").click()
    secret = page.get_by_role("status").locator("code").inner_text()
    answer = page.request.get("/api/projects", headers={"Authorization": f"Bearer {secret}"})
    assert answer.ok
    page.get_by_role("button", name="Revoke nightly").click()
    expect(page.get_by_text("nightly")).to_be_hidden()
    assert page.request.get("/api/projects", headers={"Authorization": f"Bearer {secret}"}).status == 401
