"""The faults of mutants.toml still fit the code and the tests; mutants.py puts them in."""

from pathlib import Path

from mutants import every


def test_each_fault_has_its_place_and_its_tests():
    for mutant in every():
        mutant.where()
        for selected in mutant.selection():
            file, _, test = selected.partition("::")
            name = test.partition("[")[0]
            assert f"def {name}(" in Path(file).read_text(), (
                f"{mutant.area}.{mutant.name}: {selected}"
            )
