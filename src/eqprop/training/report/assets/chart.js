// Lines over a common axis, with a legend that hides them and the values under the pointer.
const WIDE = 360, HIGH = 214, LEFT = 50, RIGHT = 10, TOP = 8, BELOW = 36;

const tip = element("div", { class: "tip", hidden: "" });

// Round steps, about five of them.
function ticksOf(low, high, count = 5, whole = false) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  if (whole) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) ticks.push(Number(at.toPrecision(12)));
  return ticks;
}

// A logarithmic axis on which zero has a place of its own, below the smallest value.
function logarithmic(values) {
  const positive = values.filter((value) => value > 0);
  if (!positive.length) return null;
  const smallest = Math.min(...positive), bottom = Math.log10(smallest);
  const top = Math.max(Math.log10(Math.max(...positive)), bottom + 0.08);
  const zero = values.some((value) => value <= 0);
  const low = zero ? bottom - 0.12 * (top - bottom) - 0.1 : bottom;
  const ticks = [];
  const every = Math.max(1, Math.round((top - bottom) / 5));
  for (let power = Math.ceil(bottom - 1e-9); power <= top + 1e-9; power += 1) {
    if ((power - Math.ceil(bottom)) % every === 0) ticks.push(10 ** power);
  }
  if (ticks.length < 2) {
    ticks.length = 0;
    for (const tick of ticksOf(smallest, 10 ** top, 4)) if (tick >= smallest) ticks.push(tick);
  }
  const place = (value) => (value > 0 ? Math.log10(value) : low);
  return { low, high: top, place, ticks: zero ? [0, ...ticks] : ticks };
}

function linear(values, ends) {
  let low = Math.min(...values), high = Math.max(...values);
  if (ends) [low, high] = [Math.min(low, ends[0]), Math.max(high, ends[1])];
  if (low === high) [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
  const ticks = ticksOf(low, high);
  return { low: Math.min(low, ticks[0]), high: Math.max(high, ticks[ticks.length - 1]), place: (value) => value, ticks };
}

// lines: [{name, x, y, low?, high?, dash?}]; options: {x, y, log, ends, mark}
function chart(lines, options) {
  const figure = element("div", {});
  const hidden = new Set();
  const hold = element("div", {});
  const legend = element("div", { class: "legend" });
  lines.forEach((line, index) => {
    const button = element("button", { type: "button", "aria-pressed": "true", title: "hide or show" });
    button.append(element("i", { style: `background:${colour(index)}` }), line.name);
    button.addEventListener("click", () => {
      if (hidden.has(index)) hidden.delete(index);
      else if (hidden.size < lines.length - 1) hidden.add(index);
      button.setAttribute("aria-pressed", String(!hidden.has(index)));
      draw();
    });
    legend.append(button);
  });

  function draw() {
    const shown = lines.map((line, index) => ({ ...line, index })).filter((line) => !hidden.has(line.index));
    const all = shown.flatMap((line) => [...line.y, ...(line.low ?? []), ...(line.high ?? [])]).filter(isNumber);
    const across = shown.flatMap((line) => line.x);
    if (isNumber(options.mark)) all.push(options.mark);
    const vertical = (options.log && logarithmic(all)) || linear(all.length ? all : [0], options.ends);
    const first = Math.min(...across), last = Math.max(...across);
    const toX = (x) => LEFT + ((x - first) / (last - first || 1)) * (WIDE - LEFT - RIGHT);
    const toY = (y) => TOP + (1 - (vertical.place(y) - vertical.low) / (vertical.high - vertical.low)) * (HIGH - TOP - BELOW);
    const svg = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${options.y} by ${options.x}` });
    for (const tick of vertical.ticks) {
      svg.append(drawn("line", { class: "grid-line", x1: LEFT, x2: WIDE - RIGHT, y1: toY(tick), y2: toY(tick) }));
      svg.append(drawn("text", { x: LEFT - 6, y: toY(tick) + 4, "text-anchor": "end" }, told(tick)));
    }
    for (const tick of ticksOf(first, last, 5, true)) {
      svg.append(drawn("text", { x: toX(tick), y: HIGH - BELOW + 16, "text-anchor": "middle" }, told(tick)));
    }
    svg.append(drawn("text", { x: (LEFT + WIDE - RIGHT) / 2, y: HIGH - 4, "text-anchor": "middle" }, options.x));
    if (isNumber(options.mark)) {
      svg.append(drawn("line", { class: "cursor", x1: LEFT, x2: WIDE - RIGHT, y1: toY(options.mark), y2: toY(options.mark) }));
    }
    for (const line of shown) {
      const points = line.x.map((x, at) => [toX(x), line.y[at]]);
      if (line.low) {
        const up = line.x.map((x, at) => `${toX(x)},${toY(line.high[at])}`);
        const down = line.x.map((x, at) => `${toX(x)},${toY(line.low[at])}`).reverse();
        svg.append(drawn("polygon", { points: [...up, ...down].join(" "), fill: colour(line.index), opacity: 0.18 }));
      }
      let path = "", pen = "M";
      for (const [x, y] of points) {
        if (!isNumber(y)) pen = "M";
        else { path += `${pen}${x.toFixed(1)} ${toY(y).toFixed(1)}`; pen = "L"; }
      }
      svg.append(drawn("path", { d: path, fill: "none", stroke: colour(line.index), "stroke-width": 1.8, "stroke-linejoin": "round" }));
      if (points.length < 25) {
        for (const [x, y] of points) if (isNumber(y)) svg.append(drawn("circle", { cx: x, cy: toY(y), r: 2.4, fill: colour(line.index) }));
      }
    }
    const cursor = drawn("line", { class: "cursor", y1: TOP, y2: HIGH - BELOW, visibility: "hidden" });
    svg.append(cursor);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const at = first + (((event.clientX - box.left) / box.width) * WIDE - LEFT) / (WIDE - LEFT - RIGHT) * (last - first);
      const nearest = across.reduce((best, x) => (Math.abs(x - at) < Math.abs(best - at) ? x : best), first);
      cursor.setAttribute("x1", toX(nearest));
      cursor.setAttribute("x2", toX(nearest));
      cursor.setAttribute("visibility", "visible");
      const said = shown.map((line) => `${line.name}: ${told(line.y[line.x.indexOf(nearest)])}`);
      showTip(event, [`${options.x} ${told(nearest)}`, ...said].join("\n"));
    });
    svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); hideTip(); });
    hold.replaceChildren(svg);
  }

  draw();
  figure.append(hold);
  if (lines.length > 1) figure.append(legend);
  return figure;
}

function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const right = event.clientX + 14 + tip.offsetWidth > window.innerWidth;
  tip.style.left = `${right ? event.clientX - tip.offsetWidth - 14 : event.clientX + 14}px`;
  tip.style.top = `${Math.min(event.clientY + 12, window.innerHeight - tip.offsetHeight - 4)}px`;
}

function hideTip() {
  tip.hidden = true;
}
