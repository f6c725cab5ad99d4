"""The studies by paper, and where their results go."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from eqprop.papers import catalogue, tables
from eqprop.papers.catalogue import DEMONSTRATIONS, EXPERIMENTS, GROUPS, PAPERS, home
from eqprop.papers.study import Study
from helpers.command import call, one_line


@dataclass(frozen=True)
class Told(Study):
    """A study that only says where its result should go."""

    def results(self, asked):
        return {}

    def reproduce(self, out, data_dir=None, quick=False):
        return {"out": str(out)}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A checkout with a folder of results for oscillators alone, and studies that do nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, "HERE", tmp_path / "papers")
    tables.results("oim").mkdir(parents=True)
    for name in EXPERIMENTS:
        monkeypatch.setitem(EXPERIMENTS, name, Told(name, ""))
    return tmp_path


def sent_to(*arguments):
    found = one_line(call("reproduce", *arguments, "--json").out)
    return [one["out"] for one in (found if isinstance(found, list) else [found])]


def test_every_study_is_of_one_paper():
    assert sum(map(len, PAPERS.values())) == len(EXPERIMENTS)
    assert list(GROUPS) == [
        "foundation",
        "finite-nudge",
        "oim",
        "lagrangian",
        "hopfield-resnet",
        "stochep",
        "predictive-coding",
        "resistive",
    ]
    assert [name for names in GROUPS.values() for name in names] == list(EXPERIMENTS)
    for paper in PAPERS:
        assert (Path(catalogue.__file__).parent / paper / "studies.py").exists()


def test_results_go_to_the_paper(shelf):
    assert sent_to("oim-noise") == [str(shelf / "papers" / "oim" / "results")]
    assert sent_to("oim") == [str(shelf / "papers" / "oim" / "results")] * len(PAPERS["oim"])


def test_a_paper_in_quick_is_its_demonstration(shelf):
    """And not fifteen trials."""
    assert DEMONSTRATIONS.keys() == GROUPS.keys()
    for group, name in DEMONSTRATIONS.items():
        assert name == f"{group}-demonstration" and name in GROUPS[group]
    (out,) = sent_to("oim", "--quick")
    assert out == str(shelf / "papers" / "oim" / "results")


def test_results_go_to_the_working_folder_where_the_paper_cannot_keep_them(shelf, monkeypatch):
    assert sent_to("digits") == ["results"]
    assert home("of no paper") == Path("results")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert sent_to("oim-noise") == ["results"]


def test_results_go_where_they_are_asked_to(shelf):
    assert sent_to("oim-noise", "--out", "here") == ["here"]
