// The page: of one run all that is known, of several what they have in common and what not.
const MINUS = " − ";

function spread(each) {
  return each.std === null ? told(each.mean) : `${told(each.mean)} ± ${told(each.std)}`;
}

function one(run) {
  const looks = run.looks ?? {};
  return [
    element("h1", {}, run.name),
    element("div", { class: "soft" }, run.folder),
    run.command ? element("pre", {}, run.command) : null,
    tiles(run),
    section("Warnings", warnings(run)),
    curves([run]),
    audit(run),
    run.no_looks ? section("The model", element("p", { class: "warning" }, run.no_looks)) : null,
    relaxation(looks),
    activity(looks),
    answers(looks),
    made(run),
  ];
}

function several(runs, comparison) {
  runs.forEach((run, at) => { run.label = String(at + 1); });
  const { settings, groups, tests, score } = comparison;
  const names = Object.keys(settings);
  const head = ["run", ...names, "test accuracy", "test loss", "cosine", "epochs done", "time"];
  const rows = runs.map((run, at) => {
    const whole = run.audit.find((row) => row.name === "all parameters");
    const { summary } = run;
    return [run.label, ...names.map((name) => settings[name][at]), percent(summary.test_accuracy), told(summary.test_loss), told(whole?.cosine), String(run.metrics.epoch?.length ?? 0), isNumber(summary.seconds) ? `${told(summary.seconds)} s` : "not finished"];
  });
  const folders = element("ol", {}, ...runs.map((run) => element("li", {}, `${run.name} `, element("span", { class: "soft" }, run.command ?? run.folder))));
  const means = groups.map((group) => [group.name, group.runs.map((at) => runs[at].label).join(", "), String(group.n), spread(group)]);
  const pairs = tests.map((test) => [test.first + MINUS + test.second, String(test.n), test.n ? spread(test) : "no seed in common", test.p === null ? "–" : told(test.p)]);
  return [
    element("h1", {}, `${runs.length} runs`),
    folders,
    section("What differs", names.length ? table(head, rows, [0]) : element("p", {}, "The settings of all runs are the same."), names.length ? null : table(head, rows, [0])),
    score ? section(
      "Over seeds",
      table(["group", "runs", "n", score], means, [0, 1]),
      pairs.length ? element("p", { style: "margin-top:16px" }, `Paired t-tests, two-sided, over the seeds that both groups have${pairs.length > 1 ? `; p is not corrected for the ${pairs.length} comparisons` : ""}. There is no p for fewer than two seeds, nor where all differences are the same.`) : null,
      pairs.length ? table(["difference", "seeds", score, "p"], pairs, [0]) : null,
    ) : section("Over seeds", element("p", {}, "No score that every run has: are all finished?")),
    curves(runs),
    ...runs.filter((run) => run.warnings?.length).map((run) => section(`Warnings of run ${run.label}`, warnings(run))),
  ];
}

const content = JSON.parse(document.getElementById("data").textContent);
const parts = content.runs.length === 1 ? one(content.runs[0]) : several(content.runs, content.comparison);
document.getElementById("page").append(
  ...parts.filter((part) => part !== null),
  element("p", { class: "soft", style: "margin-top:40px" }, `Written by eqprop ${content.version}.`),
);
document.body.append(tip);
