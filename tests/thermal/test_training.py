"""Training at a temperature: what a run says of its chains, draws and resumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.energies.units.spin import Spin
from eqprop.thermal import Gibbs
from eqprop.thermal.chains import Chains
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.mixing import Mixing
from eqprop.thermal.readings import ConditionalMeans
from eqprop.thermal.rules import Reweighting, finite_nudge, free_covariance
from eqprop.training import Dataset, Optimiser, Split
from eqprop.training.figures.run import draw_run
from helpers.systems import quickly

KEY = jax.random.key(0)
CHAINS = Chains(0.02, Gibbs(), chains=4, burn=8, samples=2, thinning=2)
MODEL = eq.layered((16, 8, 3), KEY, eq.hard_tanh())


def rows_of(count, seed):
    """Images of 4x4 with a bright row, whose number is the label, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=count).astype(np.int32)
    x = 100 * rng.uniform(size=(count, 4, 4, 1))
    x[np.arange(count), y] += 150
    return Split(x.astype(np.uint8), y)


ROWS = Dataset("rows", rows_of(200, 0), rows_of(40, 1), 3, 255.0)


@pytest.fixture(scope="module")
def promoting():
    """Optax's Adam mixes integers and floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def training():
    learner = Thermal(CHAINS, finite_nudge(1.0), ConditionalMeans())
    return eq.Training(MODEL, learner, ROWS, Optimiser(0.02), 2, 20, validation=40)


@pytest.fixture(scope="module")
def run(promoting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("thermal") / "run"
    return eq.fit(training(), folder, audit=True, progress=False)


@pytest.mark.long
def test_a_run_at_a_temperature_learns(run):
    assert run.history["objective"][1] < run.history["objective"][0]
    assert run.accuracy > 0.7


@pytest.mark.long
def test_a_run_says_how_its_chains_were(run):
    relaxation = run.result["relaxation"]
    for key in ("first_cost", "last_cost", "drift", "acceptance", "displacement_snr"):
        assert np.isfinite(relaxation[key])
    assert relaxation["last_cost"] <= relaxation["first_cost"] + 1e-6
    assert {row["quantity"] for row in run.result["mixing"]} == {"cost", "energy"}
    assert all(Mixing(**row).mixed for row in run.result["mixing"])
    assert run.result["against"].startswith("the finite nudge with")


@pytest.mark.long
def test_a_run_at_a_temperature_is_drawn(run):
    names = {path.stem for path in draw_run(run.folder, ROWS)}
    assert names == {"learning", "activity", "agreement", "weights", "objective"}


@pytest.mark.long
def test_a_finished_run_at_a_temperature_is_read(run):
    assert eq.fit(training(), run.folder, resume=True).result == run.result


@pytest.mark.parametrize("rule", [free_covariance(1.0), Reweighting(1.0)])
def test_every_rule_says_how_its_chains_were(rule):
    x, y = jnp.asarray(ROWS.train.x[:5] / 255.0).reshape(5, 16), jnp.eye(3)[ROWS.train.y[:5]]
    learner = Thermal(CHAINS, rule, ConditionalMeans())
    report = quickly(lambda: learner(MODEL, x, y, MODEL.rest(x), KEY).report)()
    seen = report.metrics()
    assert ("displacement_snr" in seen) == (len(rule.betas) > 1)
    for key in ("objective", "first_cost", "last_cost", "drift", "acceptance"):
        assert np.isfinite(seen[key])


@pytest.mark.long
def test_spins_answer_no_small_nudge():
    model = eq.layered((16, 8, 3), KEY, Spin(), Spin())
    x, y = jnp.ones((2, 16)), jnp.eye(3)[:2]
    with pytest.raises(ValueError, match=r"got spins in \['h1', 'out'\]; use Thermal"):
        eq.EquilibriumPropagation(eq.Blockwise(), eq.symmetric(0.5)).check(model, x, y)
