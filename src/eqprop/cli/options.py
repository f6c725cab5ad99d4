"""What the command can be asked to do besides the arguments of a recipe, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from eqprop.training.hosts import Hosts
from eqprop.training.rivals import NAMES

if TYPE_CHECKING:
    Rival = str
else:
    Rival = Literal[NAMES]

Precision = Literal["full", "tf32", "bfloat16", "float16"]


RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


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
    """Where the table and the plots go; where an audit is there already, the folder gets a number."""
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

    run: RunFolder
    """Run folder."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache. Of data of
    one's own, the file that `eqprop.training.save_dataset` kept them in."""


@dataclass(frozen=True)
class Predict:
    """Print the labels and scores that a trained model gives to examples in a file."""

    run: RunFolder
    """Run folder, or the name of a network that comes with eqprop, as digits."""
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """One or many examples as .npy, an image as .png, or IDX as MNIST comes in, gzipped or not."""
    top: Annotated[int, tyro.conf.arg(metavar="N")] = 3
    """How many classes to show of each example, the highest scores first."""
    out: Path | None = None
    """Write labels and all scores to this file, .npz or .csv."""
    json: bool = False
    """Print labels and all scores as one JSON line on stdout, in the place of the table."""


@dataclass(frozen=True)
class Report:
    """Write a page of a run, or of several beside one another: one HTML file, which needs no network."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache. Of data of
    one's own, the file that `eqprop.training.save_dataset` kept them in."""
    out: Path | None = None
    """The page; RUN/report.html unless given, of several runs report.html here."""
    json: bool = False
    """Print where the page is, and the comparison of several runs, as one JSON line on stdout."""


@dataclass(frozen=True)
class Doctor:
    """Say what a run meets here: versions, compiler, devices and their speed, data sets, caches, extras."""

    data_dir: Path | None = None
    """Folder in which to look for data sets; else $EQPROP_DATA; else the cache."""
    json: bool = False
    """Print it all as one JSON line on stdout."""


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
