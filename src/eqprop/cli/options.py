"""What the command can be asked to do, as frozen data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro

from eqprop.training.hosts import Hosts
from eqprop.training.recipe import Recipe

R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class Train(Generic[R]):
    """Train a recipe in a folder of its own, and audit its gradient at the end."""

    recipe: R
    name: tyro.conf.Suppress[str] = ""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    out: Path | None = None
    """Run folder; runs/<recipe>/<time> unless given."""
    resume: bool = False
    """Continue the run in --out, or the latest of this recipe, as it was asked for; options not given are
    the run's, and others must agree with it."""
    json: bool = False
    """Print the result as one JSON line on stdout; everything else goes to stderr."""
    tensorboard: bool = False
    """Also write TensorBoard logs (needs the extra `tensorboard`)."""
    devices: int = 0
    """Devices over which each batch is split; 0 is one, or all of them where several processes met."""
    hosts: Hosts = field(default_factory=Hosts)


@dataclass(frozen=True)
class Audit(Generic[R]):
    """Compare the recipe's gradient with the exact one, by parameter, and find the best nudge."""

    recipe: R
    name: tyro.conf.Suppress[str] = ""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    run: Path | None = None
    """Audit the best model of this run folder, by its own recipe but for the options given here;
    otherwise the recipe at initialisation."""
    out: Path = Path("audit")
    """Where the table and the plots go."""
    json: bool = False
    """Print the result as one JSON line on stdout; everything else goes to stderr."""


@dataclass(frozen=True)
class Plot:
    """Draw a run's figures again."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""


@dataclass(frozen=True)
class List:
    """List recipes and experiments."""


@dataclass(frozen=True)
class Reproduce:
    """Run an experiment over its seeds and write <name>/result.json in the folder of the results."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """Experiment, or a paper (oim) with all of its own; without one, those that exist are listed."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    out: Path | None = None
    """Folder of the results; unless given, that of the paper in a checkout that can be written, else
    results/ here."""
    width: int = 0
    """Channels of the first block, where the experiment has such; 0 leaves it as it is."""
    epochs: int = 0
    """Passes over the training data; 0 leaves them as they are."""
    quick: bool = False
    """One seed, of a sweep one case, one epoch of 2000 examples, deep networks narrow, no audits and no
    figures of runs (`eqprop plot` draws these), in a folder of its own: does everything work?"""
    json: bool = False
    """Print the result (of a paper, the list) as one JSON line on stdout; all else goes to stderr."""
