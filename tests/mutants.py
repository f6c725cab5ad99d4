"""Faults put into a copy of the package, one at a time: does a test that should see it fail?

The faults are in mutants.toml; CONTRIBUTING.md says how they are written, run and read.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src"
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"
ENOUGH, SECONDS, RAN = 0.95, 600, 10
ENVIRONMENT = {
    "EQPROP_UNCHECKED": "1",
    "PYTHONWARNINGS": "ignore:os.fork() was called:RuntimeWarning",
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / "eqprop-mutants"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}
IMPORTED = ["jax", "equinox", "diffrax", "lineax", "optax", "hypothesis", "pytest", "scipy.stats"]


class Mutant(NamedTuple):
    """``old`` becomes ``new`` in ``file``; one of ``tests`` should fail. ``survives``: why none can."""

    area: str
    name: str
    file: str
    old: str
    new: str
    tests: list[str]
    survives: str = ""

    def where(self) -> Path:
        """The file, in whatever folder of the package it is; ``ValueError`` unless the fault applies."""
        paths = [p for p in SOURCE.rglob(Path(self.file).name) if p.match(self.file)]
        held = [path for path in paths for _ in range(path.read_text().count(self.old))]
        if len(held) != 1:
            raise ValueError(
                f"{self.file}: expected the old text once, got it {len(held)} times in {len(paths)} files"
            )
        return held[0]

    def selection(self) -> list[str]:
        """The tests, in whatever folder they are."""
        split = [test.partition("::") for test in self.tests]
        found = [(list(TESTS.rglob(file)), colons + test) for file, colons, test in split]
        if any(len(paths) != 1 for paths, _ in found):
            raise ValueError(f"expected one file for each of {self.tests}")
        return [f"{paths[0]}{test}" for paths, test in found]


def every() -> list[Mutant]:
    """All faults of mutants.toml."""
    areas = tomllib.loads((TESTS / "mutants.toml").read_text())
    return [Mutant(area, name, **given) for area in areas for name, given in areas[area].items()]


def child(tests: list[str], source: str, said: str) -> None:
    """The tests against a package, in a process that has imported all the others."""
    with open(said, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ["PYTHONPATH"] = source
    sys.path.insert(0, source)
    import pytest

    os._exit(RAN + pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", *tests]))


def run(tests: list[str], source: Path, seconds: float | None) -> tuple[int, str]:
    """The exit code of the tests against a package, and the end of what they say."""
    with tempfile.NamedTemporaryFile("r") as said:
        process = SERVER.Process(target=child, args=(tests, str(source), said.name))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            return 1, f"no end within {seconds} s"
        return process.exitcode - RAN, said.read()[-3000:]


def judge(mutant: Mutant) -> tuple[str, str]:
    """What became of a fault, and what there is to say of it."""
    try:
        path, tests = mutant.where(), mutant.selection()
    except ValueError as error:
        return BROKEN, f"{error}; write the fault anew"
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(SOURCE, Path(folder) / "src")
        wrong = path.read_text().replace(mutant.old, mutant.new)
        (copy / path.relative_to(SOURCE)).write_text(wrong)
        code, said = run(tests, copy, SECONDS)
    if code in (0, 1):
        return (SURVIVED, mutant.survives) if code == 0 else (CAUGHT, "")
    return BROKEN, f"the tests do not run, exit code {code}:\n{said}"


def failing(mutants: list[Mutant], pool: ThreadPoolExecutor) -> str:
    """What the tests say that fail without any fault."""
    by_file = defaultdict(set)
    for mutant in mutants:
        for test in mutant.selection():
            by_file[test.partition("::")[0]].add(test)
    ends = pool.map(lambda tests: run(sorted(tests), SOURCE, None), by_file.values())
    return "\n".join(said for code, said in ends if code)


def report(found: list[tuple[Mutant, str]]) -> int:
    """Print the table by area; 0 where enough are caught, and all the others say why they cannot be."""
    print(f"\n{'':14}faults  caught")
    for area in [*dict.fromkeys(mutant.area for mutant, _ in found), "all"]:
        ends = Counter(end for mutant, end in found if area in (mutant.area, "all"))
        print(f"{area:14}{ends.total():6}{ends[CAUGHT]:8}{ends[CAUGHT] / ends.total():7.1%}")
    missed = [mutant for mutant, end in found if end != CAUGHT]
    return int(len(missed) > (1 - ENOUGH) * len(found) or any(not m.survives for m in missed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these faults or areas alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--trusted", action="store_true", help="skip the run without a fault")
    asked = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    os.chdir(TESTS.parent)
    SERVER.set_forkserver_preload(IMPORTED)
    mutants = every()
    if asked.only:
        mutants = [m for m in mutants if {m.name, m.area, f"{m.area}.{m.name}"} & set(asked.only)]
    if not mutants:
        parser.error(f"expected names or areas of mutants.toml, got {' '.join(asked.only)}")
    with ThreadPoolExecutor(asked.jobs) as pool:
        if not asked.trusted and (said := failing(mutants, pool)):
            print(f"Some tests fail without a fault; mend them first.\n{said}")
            return 2
        found = []
        runs = {pool.submit(judge, mutant): mutant for mutant in mutants}
        for done in as_completed(runs):
            mutant, (end, why) = runs[done], done.result()
            found.append((mutant, end))
            print(f"{end:9}{mutant.area}.{mutant.name}  {why}", flush=True)
    return report(found)


SERVER = multiprocessing.get_context("forkserver")
if __name__ == "__main__":
    sys.exit(main())
