"""Resistive networks: power by hand, exact steps, gradients, and circuits solved by others."""

import dataclasses
import re
import shutil
import subprocess

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Bernoulli,
    Blockwise,
    Box,
    EquilibriumPropagation,
    FunctionEnergy,
    GradientDescent,
    ImplicitDifferentiation,
    Layer,
    Linear,
    Model,
    Network,
    ResistiveNetwork,
    Spin,
    SquaredError,
    Tanh,
    Training,
    layered,
    relax,
    relu,
    resistive,
    symmetric,
)
from eqprop.energies.ops import Chain, Conv, Dense, MaxPool, Scaled
from eqprop.estimators.audit import compare
from eqprop.hardware import netlist
from eqprop.thermal import sample
from eqprop.training import AtLeast, Dataset, Optimiser, Split
from helpers.systems import normal, quickly

KEY = jax.random.key(0)
TIGHT = Blockwise(1e-13, 5000)
X, Y = normal(1, (3, 4)), normal(2, (3, 3))
apply = quickly(lambda rule, model: rule(model, X, Y, model.rest(X), KEY))


def deep():
    """With currents into all nodes, two hidden layers and diodes."""
    model = resistive((4, 8, 6, 3), KEY, gain=5.0)
    network = model.energy.network
    layers = {
        name: Layer(layer.shape, layer.unit, normal(i, layer.shape))
        for i, (name, layer) in enumerate(network.layers.items())
    }
    edges = [(e.source, e.target, e.op) for e in network.edges.values()]
    energy = ResistiveNetwork(Network(8, layers, edges), 5.0, mirrored=True)
    return Model(energy, model.cost)


def power(energy, state, x):
    """Half of what all resistors burn, less what the currents bring."""
    volts = state | {"x": 5.0 * jnp.concatenate([x, -x])}
    total = -sum(jnp.sum(layer.bias * state[name]) for name, layer in energy.network.layers.items())
    for edge in energy.edges.values():
        drop = volts[edge.source][:, None] - volts[edge.target]
        total += 0.5 * jnp.sum(edge.op.weight * drop**2)
    return total


def test_the_energy_is_half_the_power():
    model = deep()
    state = {name: normal(7, z.shape) for name, z in model.energy.rest().items()}
    assert float(model.energy(state, X[0])) == pytest.approx(
        float(power(model.energy, state, X[0]))
    )


def test_a_block_step_is_the_mean_of_the_neighbours_by_conductance():
    g, h = np.array([[1.0], [2.0]]), np.array([[3.0, 4.0]])
    layers = {"h": Layer(1, Linear()), "out": Layer(2, Linear())}
    edges = [("x", "h", Dense(jnp.array(g))), ("h", "out", Dense(jnp.array(h)))]
    energy = ResistiveNetwork(Network(2, layers, edges))
    phase = energy.clamp(jnp.array([5.0, -2.0]))
    assert phase.blocks == (("h",), ("out",))
    state = {"h": jnp.zeros(1), "out": jnp.array([1.0, 2.0])}
    once = Blockwise(None, 1)
    moved, _ = quickly(once.settle)(phase, state)
    mean = (1 * 5 - 2 * 2 + 3 * 1 + 4 * 2) / (1 + 2 + 3 + 4)
    np.testing.assert_allclose(moved["h"], mean)
    np.testing.assert_allclose(moved["out"], mean)  # each hangs on h alone


def test_a_function_that_states_its_blocks_takes_the_same_steps():
    model = resistive((4, 6, 3), KEY, gain=5.0)
    net = model.energy.network
    shapes = {name: shape[0] for name, shape in net.shapes.items()}
    weights = {name: edge.op.weight for name, edge in net.edges.items()}

    def burnt(g, volts, x):
        volts = volts | {"x": 5.0 * jnp.concatenate([x, -x])}
        ends = (name.split("-") for name in g)
        drops = (volts[a][:, None] - volts[b] for a, b in ends)
        return sum(0.5 * jnp.sum(w * drop**2) for w, drop in zip(g.values(), drops, strict=True))

    def loads(g, x):
        found = {name: jnp.zeros(size) for name, size in shapes.items()}
        for name, w in g.items():
            a, b = name.split("-")
            found |= {b: found[b] + w.sum(0)} | ({a: found[a] + w.sum(1)} if a != "x" else {})
        return found

    blocks = model.free(X[0]).blocks
    units = net.units
    energy = FunctionEnergy(burnt, weights, shapes, units, blocks=blocks, bounds=loads)
    state = {name: units[name].retract(normal(4, size)) for name, size in net.shapes.items()}
    for steps in (1, 3):
        solver = Blockwise(None, steps)
        mine, theirs = (
            quickly(solver.settle)(phase, state)[0]
            for phase in (energy.clamp(X[0]), model.free(X[0]))
        )
        for name, v in theirs.items():
            np.testing.assert_allclose(mine[name], v, atol=1e-13)


def test_blocks_of_a_function_name_every_layer_once():
    def bowl(params, state, x):
        return jnp.sum(state["a"] ** 2) + jnp.sum(state["b"] ** 2)

    shapes, bounds = {"a": 1, "b": 1}, lambda params, x: {"a": 2.0}
    for blocks in ((("a",),), (("a", "b"), ("b",)), None):
        with pytest.raises(
            ValueError, match=r"bounds beside blocks, and blocks with each of \['a', 'b'\]"
        ):
            FunctionEnergy(bowl, {}, shapes, blocks=blocks, bounds=bounds)
    energy = FunctionEnergy(bowl, {}, shapes, blocks=(("a", "b"),), bounds=bounds)
    with pytest.raises(ValueError, match=r"expected bounds of .*'b': \(1,\).*, got \{'a': \(\)\}"):
        energy.clamp(jnp.zeros(1))


def test_blocks_and_descent_settle_alike():
    model = deep()
    found, info = quickly(lambda m: relax(m, X, None, TIGHT))(model)
    slowly, _ = quickly(lambda m: relax(m, X, None, GradientDescent(1e-12, 20000, 0.1)))(model)
    assert np.all(info.converged)
    for name, v in found.items():
        np.testing.assert_allclose(v, slowly[name], atol=1e-9)
    assert all(float(jnp.min(found[name])) >= 0 for name in ("h1up", "h2up"))
    assert all(float(jnp.max(found[name])) <= 0 for name in ("h1down", "h2down"))


def test_nudges_find_the_gradient_in_the_conductances():
    model = deep()
    exact = apply(ImplicitDifferentiation(TIGHT, tolerance=1e-12), model).gradient
    errors = [
        compare(apply(EquilibriumPropagation(TIGHT, symmetric(beta), TIGHT), model).gradient, exact)
        for beta in (1e-2, 1e-3)
    ]
    one, other = (rows[-1].relative_error for rows in errors)
    assert other < 1e-4 and one / other == pytest.approx(100, rel=0.1)


def test_convolutions_are_resistors_too():
    kernel = jnp.abs(normal(3, (3, 3, 1, 2)))
    layers = {"c": Layer((4, 4, 2), relu()), "out": Layer(2, Linear())}
    edges = [("x", "c", Conv(kernel, padding=1)), ("c", "out", Dense(jnp.abs(normal(4, (32, 2)))))]
    energy = ResistiveNetwork(Network((4, 4, 1), layers, edges))
    x, state = normal(5, (4, 4, 1)), {"c": normal(6, (4, 4, 2)), "out": normal(7, (2,))}
    g = jax.jacobian(edges[0][2])(x).reshape(32, 16)
    inner = jnp.sum(g * (state["c"].reshape(32, 1) - x.reshape(16)) ** 2)
    outer = jnp.sum(edges[1][2].weight * (state["c"].reshape(32, 1) - state["out"]) ** 2)
    assert float(energy(state, x)) == pytest.approx(0.5 * float(inner + outer))


def divider(first, second):
    """x - h - out, of one node each."""
    layers = {"h": Layer(1, Linear()), "out": Layer(1, Linear())}
    ops = [Dense(jnp.array([[g]])) for g in (first, second)]
    network = Network(1, layers, [("x", "h", ops[0]), ("h", "out", ops[1])])
    return Model(ResistiveNetwork(network), SquaredError())


def test_an_output_is_held_by_its_resistors_in_series():
    model, x = divider(3.0, 6.0), jnp.ones((1, 1))
    assert model.energy.own_curvature("out") == pytest.approx(2.0)  # 3 * 6 / (3 + 6)
    EquilibriumPropagation(TIGHT, symmetric(1.9)).check(model, x, x)
    with pytest.raises(ValueError, match=r"nudges above -1 with a squared error, got -1\.05"):
        EquilibriumPropagation(TIGHT, symmetric(2.1)).check(model, x, x)


def test_what_learning_made_no_circuit_is_told_by_the_check():
    def weight(model):
        return model.energy.network.edges["h-out"].op.weight

    rule, x = EquilibriumPropagation(TIGHT, symmetric(0.1)), jnp.ones((1, 1))
    for value, says in ((-3.0, "at least 0.*-3.*AtLeast"), (0.0, "'out': 1"), (jnp.inf, "finite")):
        model = eqx.tree_at(weight, divider(3.0, 6.0), jnp.array([[value]]))
        with pytest.raises(ValueError, match=says):
            rule.check(model, x, x)


def test_loads_far_from_one_are_told():
    """In their unit: voltages are the same, but for their digits."""
    with pytest.warns(UserWarning, match="sum to 0.001 to 10000 at each node, got .*another unit"):
        divider(1e-5, 1e-5)


def test_an_optimiser_that_may_make_conductances_negative_is_told():
    x, y = np.ones((4, 4), np.float32), np.arange(4) % 3
    data = Dataset("four", Split(x, y), Split(x, y), 3)
    training = Training(
        resistive((4, 6, 3), KEY), EquilibriumPropagation(TIGHT, symmetric(0.1)), data
    )
    with pytest.warns(UserWarning, match="keeps conductances from below 0.*AtLeast"):
        training.transform(10)
    dataclasses.replace(training, optimiser=Optimiser(writing=AtLeast())).transform(10)


def test_a_ladder_is_joined_however_long():
    near = jnp.eye(8) + jnp.eye(8, k=-1)
    layers = {"a": Layer(8, Linear()), "out": Layer(8, Linear())}
    edges = [("x", "a", Dense(jnp.eye(1, 8))), ("a", "out", Dense(near))]
    model = Model(ResistiveNetwork(Network(1, layers, edges)), SquaredError())
    found, _ = quickly(lambda m: relax(m, jnp.ones((1, 1)), None, Blockwise(1e-10, 9000)))(model)
    np.testing.assert_allclose(found["out"], 1.0, atol=1e-6)  # no current flows


def test_inputs_are_of_the_circuits_shape():
    with pytest.raises(ValueError, match=r"one input of shape \(4,\), got \(8,\).*made here"):
        resistive((4, 6, 3), KEY).energy.clamp(jnp.ones(8))


# --- circuits ---------------------------------------------------------------------------------


def solved(text):
    """Node voltages of a netlist of sources, resistors, currents and ideal diodes: those diodes conduct
    that would otherwise be forward, found one by one."""
    nodes, held, parts, diodes = {}, {"0": 0.0}, [], []
    for line in text.splitlines():
        kind, *words = line.split()
        if kind[0] == "V":
            held[words[0]] = float(words[3])
        elif kind[0] == "R":
            parts.append((words[0], words[1], 1 / float(words[2])))
        elif kind[0] == "D":
            diodes.append(tuple(words[:2]))
    for a, b, _ in parts:
        for node in (a, b):
            if node not in held:
                nodes.setdefault(node, len(nodes))
    matrix, right = np.zeros((len(nodes),) * 2), np.zeros(len(nodes))
    for line in text.splitlines():
        if line.startswith("I"):
            right[nodes[line.split()[2]]] += float(line.split()[4])
    for a, b, g in parts:
        for here, there in ((a, b), (b, a)):
            if here in nodes:
                matrix[nodes[here], nodes[here]] += g
                if there in nodes:
                    matrix[nodes[here], nodes[there]] -= g
                else:
                    right[nodes[here]] += g * held[there]
    walls = {}  # node -> (voltage, +1 where the diode keeps it above)
    for anode, cathode in diodes:
        inner, wall, side = (cathode, anode, 1) if cathode in nodes else (anode, cathode, -1)
        walls.setdefault(nodes[inner], []).append((held[wall], side))
    on = {}
    for _ in range(1000):
        free = [i for i in range(len(nodes)) if i not in on]
        volts = np.array([on.get(i, (0.0, 0))[0] for i in range(len(nodes))])
        volts[free] = np.linalg.solve(
            matrix[np.ix_(free, free)],
            right[free] - matrix[np.ix_(free, list(on))] @ volts[list(on)],
        )
        flow = matrix @ volts - right  # what a diode must bring
        off = [i for i, (_, side) in on.items() if side * flow[i] < -1e-12]
        more = {
            i: (wall, side)
            for i, sides in walls.items()
            for wall, side in sides
            if i not in on and side * (volts[i] - wall) < -1e-12
        }
        if not off and not more:
            return {node: volts[i] for node, i in nodes.items()}
        on = {i: wall for i, wall in on.items() if i not in off} | more
    raise RuntimeError("no solution")


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_a_netlist_solved_by_nodal_analysis_is_the_equilibrium(beta):
    model = deep()
    phase = model.nudged(X[0], Y[0], beta)
    found, _ = quickly(TIGHT.settle)(phase, model.energy.rest(X.dtype))
    volts = solved(netlist(model, X[0], Y[0], beta))
    for name, v in found.items():
        np.testing.assert_allclose([volts[f"{name}_{i}"] for i in range(len(v))], v, atol=1e-9)


def test_walls_elsewhere_than_at_ground_have_sources():
    layers = {"out": Layer(2, Box(-1.0, 0.5))}
    g = Dense(jnp.array([[1.0, 2.0]]))
    model = Model(ResistiveNetwork(Network(1, layers, [("x", "out", g)])), SquaredError())
    text = netlist(model, jnp.array([3.0]))
    assert "Vout_low out_low 0 DC -1" in text and "Dout_1__high out_1 out_high ideal" in text
    assert solved(text) == {"out_0": 0.5, "out_1": 0.5}


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_ngspice_finds_the_equilibrium(tmp_path):
    model = deep()
    found, _ = quickly(TIGHT.settle)(model.free(X[0]), model.energy.rest(X.dtype))
    path = tmp_path / "circuit.cir"
    shown = ".control\nop\nset numdgt=12\nprint all\n.endc\n.end"
    path.write_text(netlist(model, X[0]).removesuffix(".op\n.end") + shown)
    told = subprocess.run(
        ["ngspice", "-b", path], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    volts = {
        name: float(value) for name, value in re.findall(r"^(\w+) = (\S+)$", told, re.MULTILINE)
    }
    for name, v in found.items():
        np.testing.assert_allclose([volts[f"{name}_{i}"] for i in range(len(v))], v, atol=2e-4)


# --- what is no circuit -----------------------------------------------------------------------

OPEN = Dense(jnp.zeros((2, 1)))


@pytest.mark.parametrize(
    ("layers", "edges", "says"),
    [
        ({"out": Layer(1, Linear())}, [("x", "out", Dense(-jnp.ones((2, 1))))], "at least 0.*-2"),
        (
            {"out": Layer(1, Linear())},
            [("x", "out", OPEN)],
            r"from the input to every node.*'out': 1",
        ),
        (
            {"out": Layer(1, Tanh())},
            [("x", "out", OPEN)],
            "expected a Linear unit or a Box.*got Tanh",
        ),
        (
            {"a": Layer(1, Linear()), "b": Layer(1, Linear()), "c": Layer(1, Linear())},
            [("x", "a", Dense(jnp.ones((2, 1)))), ("b", "c", Dense(jnp.ones((1, 1))))],
            r"'b': 1, 'c': 1.*such nodes float",
        ),
        ({"out": Layer(1, Linear())}, [("x", "out", Scaled(Dense(jnp.ones((2, 1))), -1.0))], "-2"),
    ],
    ids=["negative", "open", "unit", "island", "scaled"],
)
def test_what_is_no_circuit_is_refused(layers, edges, says):
    with pytest.raises(ValueError, match=says):
        ResistiveNetwork(Network(2, layers, edges))


def test_operators_that_are_not_linear_are_refused():
    pooled = Chain((Conv(jnp.ones((3, 3, 1, 1)), padding=1), MaxPool(2)))
    network = Network((4, 4, 1), {"c": Layer((2, 2, 1), Linear())}, [("x", "c", pooled)])
    with pytest.raises(ValueError, match="edge 'x-c' expected a linear operator"):
        ResistiveNetwork(network)
    row = Network(3, {"out": Layer(1, Linear())}, [("x", "out", Dense(jnp.ones((3, 1))))])
    with pytest.raises(ValueError, match="two nodes for each number of a mirrored input"):
        ResistiveNetwork(row, mirrored=True)
    with pytest.raises(ValueError, match="those between even, got \\(4, 3, 2\\)"):
        resistive((4, 3, 2), KEY)


def test_netlists_are_of_circuits():
    with pytest.raises(ValueError, match=r"expected a model of a ResistiveNetwork.*got Network"):
        netlist(layered((2, 2), KEY), jnp.ones(2))
    for x, y, says in (
        (X, Y[0], r"expected x of one example, finite numbers of shape \(4,\)"),
        (jnp.full(4, jnp.nan), Y[0], "expected x of one example, finite"),
        (X[0], None, "expected y of one example.*got none"),
        (X[0], jnp.array(2), r"expected y of one example, finite numbers of shape \(3,\), got 2"),
    ):
        with pytest.raises(ValueError, match=says):
            netlist(deep(), x, y, beta=1.0)


@pytest.mark.parametrize("names", [("H", "h"), ("a b", "out"), ("target", "out"), ("1", "out")])
def test_layers_have_names_that_spice_tells_apart(names):
    layers = {name: Layer(1, Linear()) for name in names}
    one = Dense(jnp.ones((1, 1)))
    network = Network(1, layers, [("x", names[0], one), (names[0], names[1], one)])
    model = Model(ResistiveNetwork(network), SquaredError(names[1]))
    with pytest.raises(ValueError, match=r"layers of different names.*rename them"):
        netlist(model, jnp.ones(1))


def test_a_circuit_traces():
    """Under a transformation, where conductances are not known."""

    def energy(weight):
        layers = {"out": Layer(1, Linear())}
        return ResistiveNetwork(Network(1, layers, [("x", "out", Dense(weight))]))(
            {"out": jnp.ones(1)}, jnp.zeros(1)
        )

    assert jax.grad(energy)(jnp.array([[3.0]])).tolist() == [[0.5]]


# --- spins ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [Spin(), Bernoulli()], ids=["spin", "bernoulli"])
def test_functions_of_spins_that_state_their_blocks_are_sampled_by_their_law(unit):
    def energy(params, state, x):
        return -jnp.sum(state["u"] * (0.3 + 0.5 * state["v"]))

    none = {"u": 0.0, "v": 0.0}
    shapes, units = {"u": 1, "v": 1}, {"u": unit, "v": unit}
    blocks = (("u",), ("v",))
    made = FunctionEnergy(energy, {}, shapes, units, blocks=blocks, bounds=lambda params, x: none)
    drawn = sample(made, 1.0, KEY, jnp.zeros(1), chains=256, burn=20, samples=100)
    low = -1.0 if isinstance(unit, Spin) else 0.0
    pairs = np.array([(u, v) for u in (low, 1.0) for v in (low, 1.0)])
    weight = np.exp(pairs[:, 0] * (0.3 + 0.5 * pairs[:, 1]))
    wanted = (weight @ pairs[:, 0] / weight.sum(), weight @ pairs.prod(1) / weight.sum())
    got = jnp.mean(drawn["u"]), jnp.mean(drawn["u"] * drawn["v"])
    np.testing.assert_allclose(got, wanted, atol=0.02)
