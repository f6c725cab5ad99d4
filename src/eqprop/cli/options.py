"""What the command can be asked to do besides the arguments of a recipe, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from eqprop.training.hosts import Hosts
from eqprop.training.rivals import RIVALS

if TYPE_CHECKING:
    Rival = str
else:
    Rival = Literal[tuple(RIVALS)]

Precision = Literal["full", "tf32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Train:
    """What every run has."""

    estimator: Rival | None = None
    """Learn the same model by another gradient: of implicit differentiation, of back-propagation through
    the steps of the free phase (bptt) or a feed-forward pass (backprop), of other nudges."""
    precision: Precision = "full"
    """Float type in which phases relax, or tf32 products on GPUs that have them; gradients are full."""
    patience: int = 0
    """Stop after this many epochs without a better validation accuracy; 0 never does."""
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
    hosts: Annotated[Hosts, tyro.conf.arg(name="")] = field(default_factory=Hosts)


@dataclass(frozen=True)
class Audit:
    """What every audit has."""

    estimator: Rival | None = None
    """Audit another gradient of the same model, as that of one-sided nudges."""
    precision: Precision = "full"
    """Float type in which phases relax, or tf32 products on GPUs that have them."""
    run: Path | None = None
    """Audit the best model of this run folder, by its own recipe but for the options given here;
    otherwise the recipe at initialisation."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    out: Path = Path("audit")
    """Where the table and the plots go."""
    json: bool = False
    """Print the result as one JSON line on stdout; everything else goes to stderr."""


@dataclass(frozen=True)
class Sweep:
    """What every sweep has; any option of the recipe that is a number may have several."""

    seeds: int = 3
    """Runs of each choice, with the seeds 0, 1, ..."""
    estimator: Rival | None = None
    """Learn the same model by another gradient, as on train."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    out: Path | None = None
    """Where the table and the figure go; runs/sweep-<recipe> unless given. Runs are kept in
    runs/sweep-<recipe>, and are not trained again."""
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
class Reproduce:
    """Run an experiment over its seeds and write <name>/result.json in the folder of the results."""

    name: Annotated[str, tyro.conf.Positional]
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
    """Of a paper: what it claims, shown in two minutes by a table and a figure. Of an experiment: one seed,
    of a sweep one case, one epoch of 2000 examples, deep networks narrow, no audits and no figures of runs
    (`eqprop plot` draws these), in a folder of its own: does everything work?"""
    json: bool = False
    """Print the result (of a paper, the list) as one JSON line on stdout; all else goes to stderr."""
