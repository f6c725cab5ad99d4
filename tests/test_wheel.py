"""The package as it is published: built, and used where nothing else of this project is."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import eqprop

ROOT = Path(__file__).parents[1]
VERSION = eqprop.__version__


WORKFLOW = ROOT / ".github/workflows/release.yml"
HOME = {
    "GITHUB_SERVER_URL": "https://forge.example",
    "GITHUB_REPOSITORY": "someone/eqprop",
    "GITHUB_REF_NAME": f"v{VERSION}",
}


def test_one_version_is_told_everywhere():
    latest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert latest is not None and latest[1] == VERSION == str(citation["version"])


def test_the_release_is_published_only_after_it_was_built_and_installed():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert jobs["install"]["needs"] == "build" and jobs["publish"]["needs"] == "install"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}


def located(folder):
    """Put the addresses of a repository into its files, as a release does."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["build"]["steps"]
    done = [step.get("run") for step in steps]
    (at,) = (i for i, step in enumerate(steps) if "says where it lives" in step.get("name", ""))
    assert at < done.index("make dist")
    run("bash", "-euc", done[at], at=folder, env=HOME)


def test_a_release_says_where_it_lives(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    located(tmp_path)
    home = "https://forge.example/someone/eqprop"
    assert tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["urls"] == {
        "Repository": home,
        "Issues": f"{home}/issues",
        "Changelog": f"{home}/blob/v{VERSION}/CHANGELOG.md",
    }


@pytest.mark.long
def test_a_wheel_is_all_that_a_user_needs(tmp_path):
    """Built, checked, installed into an environment of its own, and used from an empty folder."""
    run("git", "clone", "--quiet", ROOT, tmp_path / "clone")
    clone = tmp_path / "clone"
    located(clone)
    run("make", "dist", f"PYTHON={sys.executable}", at=clone)
    (wheel,), (source,) = clone.glob("dist/*.whl"), clone.glob("dist/*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "/results/" in name or name.startswith("tests/")]
    about = zipfile.ZipFile(wheel).read(f"eqprop-{VERSION}.dist-info/METADATA").decode()
    assert "Project-URL: Repository, https://forge.example/someone/eqprop" in about
    with tarfile.open(source) as packed:
        assert any(name.endswith("LICENSE") for name in packed.getnames())

    run(sys.executable, "-m", "venv", tmp_path / "fresh")
    user = tmp_path / "fresh/bin"
    run(user / "python", "-m", "pip", "install", "--quiet", wheel)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert VERSION in run(user / "eqprop", "--version", at=empty)
    assert "digits" in run(user / "eqprop", "list", at=empty)
    run(user / "eqprop", "train", "digits", "--epochs", "1", "--out", "run", at=empty)
    use = (
        "import eqprop as eq\n"
        "from eqprop.training.data.datasets import load_dataset\n"
        "print(eq.load('run').result['test_accuracy'])\n"
        "data = load_dataset('digits')\n"
        "right = eq.pretrained('digits').predict(data.test.x) == data.test.y\n"
        "print(right.mean())\n"
    )
    trained, pretrained = map(float, run(user / "python", "-c", use, at=empty).split())
    assert trained > 0.5 and pretrained > 0.97


def run(*command: object, at: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=at,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
