// The parts of the page, each a function from data to an element, or null where there is nothing to show.
const CURVES = [
  { title: "Error (%)", y: "error (%)", log: true, lines: { training: "error", validation: "validation_error" } },
  { title: "Loss", y: "mean loss", log: true, lines: { training: "loss", validation: "validation_loss" } },
  { title: "Relaxation steps", y: "steps", lines: { free: "free_steps", nudged: "nudged_steps" } },
  { title: "Settled", y: "fraction settled", ends: [0, 1], lines: { free: "free_converged", nudged: "nudged_converged" } },
  { title: "Residual", y: "relative residual", log: true, lines: { free: "free_residual", nudged: "nudged_residual" } },
  { title: "Objective", y: "cost", lines: { "first phase": "first_cost", objective: "objective", "last phase": "last_cost" } },
  { title: "Time (s)", y: "seconds since the start", lines: { time: "seconds" } },
];

function curve(runs, spec) {
  const lines = [];
  for (const run of runs) {
    for (const [name, column] of Object.entries(spec.lines)) {
      if (run.metrics[column]) lines.push({ name: runs.length > 1 ? `${run.label} ${name}`.trim() : name, x: run.metrics.epoch, y: run.metrics[column] });
    }
  }
  return lines.length ? chart(lines, { x: "epoch", ...spec }) : null;
}

function curves(runs) {
  const several = runs.length > 1;
  const specs = several
    ? [["validation_error", "validation error (%)"], ["validation_loss", "validation loss"], ["free_steps", "steps of the free phase"], ["free_residual", "residual of the free phase"]]
        .map(([column, y]) => ({ title: y, y, log: !column.endsWith("steps"), lines: { "": column } }))
    : CURVES;
  const fixed = runs.some((run) => run.summary.fixed_steps);
  const cards = specs.filter((spec) => !fixed || spec.title !== "Settled").map((spec) => ({ spec, drawing: curve(runs, spec) })).filter((each) => each.drawing);
  const columns = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))].filter((name) => name !== "epoch");
  if (!columns.length) return section("Learning", element("p", {}, "No epoch is finished yet."));
  const hold = element("div", {});
  const show = (column) => hold.replaceChildren(curve(runs, { y: column, lines: { "": column } }));
  const picked = columns.includes("gradient_norm") ? "gradient_norm" : columns[0];
  const select = choice("metric", columns, show);
  select.value = picked;
  show(picked);
  return section(
    "Learning",
    element("div", { class: "grid" }, ...cards.map(({ spec, drawing }) => card(spec.title, drawing)), card(null, element("div", { class: "controls" }, "Any metric:", select), hold)),
  );
}

function tiles(run) {
  const { summary } = run;
  const whole = run.audit.find((row) => row.name === "all parameters");
  const epochs = run.metrics.epoch?.length ?? 0;
  const known = [
    [percent(summary.test_accuracy), "test accuracy", summary.test_accuracy],
    [percent(summary.validation_accuracy), "validation accuracy", summary.validation_accuracy],
    [told(summary.test_loss), "test loss", summary.test_loss],
    [whole && told(whole.cosine), "cosine to the exact gradient", whole?.cosine],
    [run.finished ? `${summary.best_epoch} of ${summary.epochs}` : `${epochs} of ${run.planned}`, run.finished ? "best epoch" : "epochs so far", epochs],
    [summary.seconds && `${told(summary.seconds)} s`, "training", summary.seconds],
    [String(run.seed), "seed", run.seed],
  ];
  return element("div", { class: "tiles" }, ...known.filter((each) => isNumber(each[2])).map(([value, name]) => element("div", { class: "tile" }, element("b", {}, value), element("span", {}, name))));
}

function warnings(run) {
  if (!run.finished) return element("p", { class: "warning" }, "This run is not finished: there is no test, no audit and no list of warnings yet.");
  if (run.warnings === null) return element("p", { class: "soft" }, "Warnings were not recorded: the run is of an earlier version.");
  if (!run.warnings.length) return element("p", { class: "soft" }, "The run gave no warning.");
  return element("div", {}, ...run.warnings.map((text) => element("div", { class: "warning" }, text)));
}

function audit(run) {
  if (!run.audit.length) {
    return run.finished ? section("Audit of the gradient", element("p", {}, `Not audited: ${run.summary.not_audited}.`)) : null;
  }
  const worst = Math.max(...run.audit.map((row) => row.relative_error ?? 0), 1e-12);
  const rows = run.audit.map((row) => {
    const share = isNumber(row.relative_error) ? row.relative_error / worst : 0;
    const bar = element("span", { class: "track" }, element("span", { class: "bar", style: `width:${(150 * share).toFixed(1)}px` }));
    return [row.name, isNumber(row.cosine) ? row.cosine.toFixed(6) : "–", told(row.relative_error), bar, told(row.norm)];
  });
  return section(
    "Audit of the gradient",
    element("p", {}, `The gradient of the best model beside that of ${run.summary.against}, on 32 validation examples. The relative error is the length of the difference over that of the exact gradient.`),
    table(["parameter", "cosine", "relative error", "", "norm"], rows, [0, 3]),
  );
}

function relaxation(looks) {
  if (!looks.relaxation) return null;
  const lines = (key) => Object.entries(looks.relaxation).map(([name, phase]) => ({ name, x: phase[key].y.map((_, at) => at), ...phase[key] }));
  const tolerance = looks.tolerance ? `The dashed line is the tolerance, ${told(looks.tolerance)}.` : "";
  return section(
    "Relaxation",
    element("p", {}, `How 32 validation examples settle: medians, and bands from 10 to 90 %. ${tolerance}`),
    element(
      "div", { class: "grid" },
      card("Energy above its minimum", chart(lines("energy"), { x: "step", y: "energy", log: true })),
      card("Residual", chart(lines("residual"), { x: "step", y: "relative residual", log: true, mark: looks.tolerance })),
    ),
    looks.film ? element("h3", { style: "margin-top:18px" }, "One example, step by step") : null,
    looks.film ? film(looks.film) : null,
  );
}

function activity(looks) {
  if (!looks.activity) return null;
  const names = Object.keys(looks.activity), hold = element("div", {});
  const show = (name) => hold.replaceChildren(histogram(name, looks.activity[name]));
  show(names[0]);
  return section(
    "Activity",
    element("p", {}, "How often a layer shows which value at the free equilibrium."),
    card(null, element("div", { class: "controls" }, "Layer:", choice("layer", names, show)), hold),
  );
}

function histogram(name, { share, edges }) {
  const wide = 900, high = 220, most = Math.max(...share) || 1, width = (wide - LEFT) / share.length;
  const svg = drawn("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": `values of layer ${name}` });
  const toY = (value) => TOP + (1 - value / most) * (high - TOP - 36);
  for (const tick of ticksOf(0, most, 4)) {
    svg.append(drawn("line", { class: "grid-line", x1: LEFT, x2: wide, y1: toY(tick), y2: toY(tick) }));
    svg.append(drawn("text", { x: LEFT - 6, y: toY(tick) + 4, "text-anchor": "end" }, `${told(tick)} %`));
  }
  share.forEach((value, at) => {
    const rod = drawn("rect", { x: LEFT + at * width + 1, width: width - 2, y: toY(value), height: toY(0) - toY(value), fill: colour(0), rx: 1 });
    rod.addEventListener("pointermove", (event) => showTip(event, `${told(edges[at])} to ${told(edges[at + 1])}: ${told(value)} %`));
    rod.addEventListener("pointerleave", hideTip);
    svg.append(rod);
  });
  for (const at of [0, 0.25, 0.5, 0.75, 1]) {
    const value = edges[0] + at * (edges[edges.length - 1] - edges[0]);
    svg.append(drawn("text", { x: LEFT + at * (wide - LEFT), y: high - 20, "text-anchor": at === 1 ? "end" : "middle" }, told(value)));
  }
  svg.append(drawn("text", { x: (LEFT + wide) / 2, y: high - 3, "text-anchor": "middle" }, "value shown"));
  return svg;
}

function answers(looks) {
  if (!looks.answers) return null;
  const { confusion, missed, wrong, of } = looks.answers;
  const pictures = missed.map((one) => element(
    "figure", { title: `test example ${one.index}; the wrong score is higher by ${told(one.margin)}` },
    one.image ? element("img", { src: one.image, alt: `example ${one.index}` }) : element("span", { class: "soft" }, `example ${one.index}`),
    element("figcaption", {}, `${one.truth}, not ${one.said}`),
  ));
  return section(
    "Answers",
    element("p", {}, `${wrong} of ${of} test examples are missed (${told((100 * wrong) / of)} %).`),
    element(
      "div", { class: "grid" },
      card("Confusion", matrix(confusion), element("figcaption", {}, "Rows: the true label. Columns: the answer. Colour: the share of the row.")),
      pictures.length ? card(wrong > missed.length ? `The ${missed.length} missed by the widest margin` : "The missed examples", element("div", { class: "missed" }, ...pictures)) : null,
    ),
  );
}

function matrix(counts) {
  const size = counts.length, side = 440, edge = 26, cell = (side - edge) / size;
  const svg = drawn("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": "confusion matrix" });
  counts.forEach((row, truth) => {
    const total = row.reduce((sum, count) => sum + count, 0) || 1;
    row.forEach((count, said) => {
      const x = edge + said * cell, y = truth * cell, share = count / total;
      const fill = truth === said ? "var(--c0)" : "var(--c1)";
      const box = drawn("rect", { x: x + 0.5, y: y + 0.5, width: Math.max(cell - 1, 0.5), height: Math.max(cell - 1, 0.5), rx: size <= 20 ? 3 : 0, fill: count ? fill : "var(--line)", opacity: count ? (truth === said ? 0.15 + 0.6 * share : Math.min(0.25 + 3 * share, 1)) : 0.35 });
      box.addEventListener("pointermove", (event) => showTip(event, `true ${truth}, answer ${said}: ${count} (${percent(share)})`));
      box.addEventListener("pointerleave", hideTip);
      svg.append(box);
      if (size <= 20 && count) svg.append(drawn("text", { x: x + cell / 2, y: y + cell / 2 + 4, "text-anchor": "middle", style: "fill:var(--ink);pointer-events:none" }, count));
    });
    if (size <= 20) {
      svg.append(drawn("text", { x: edge - 8, y: truth * cell + cell / 2 + 4, "text-anchor": "end" }, truth));
      svg.append(drawn("text", { x: edge + truth * cell + cell / 2, y: side - 8, "text-anchor": "middle" }, truth));
    }
  });
  return svg;
}

function made(run) {
  const rows = Object.entries(run.made);
  return rows.length ? section("Hardware and versions", table(["", ""], rows, [0, 1])) : null;
}
