// One example settling and being nudged: a slider over the steps, a picture of each layer.
function film(content) {
  const phases = Object.entries(content.phases);
  const steps = phases.reduce((sum, [, length]) => sum + length, 0);
  const layers = Object.entries(content.layers).map(([name, layer]) => ({
    name, ...layer, values: Uint8Array.from(atob(layer.bytes), (letter) => letter.charCodeAt(0)),
  }));
  const where = element("output", { class: "soft" });
  const slider = element("input", { type: "range", min: 0, max: steps - 1, value: phases[0][1] - 1, "aria-label": "step of the relaxation", id: "film" });
  const pictures = layers.map((layer) => (layer.neurons <= 24 ? bars(layer) : picture(layer)));
  let playing = null;
  const play = element("button", { type: "button", onclick: toggle }, "Play");

  function toggle() {
    if (playing !== null) { stop(); return; }
    if (Number(slider.value) === steps - 1) slider.value = 0;
    play.textContent = "Stop";
    playing = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (Number(slider.value) === steps - 1) stop();
    }, 160);
  }

  function stop() {
    clearInterval(playing);
    playing = null;
    play.textContent = "Play";
  }

  function show() {
    let step = Number(slider.value), at = 0;
    while (at < phases.length - 1 && step >= phases[at][1]) { step -= phases[at][1]; at += 1; }
    where.textContent = `${phases[at][0]} phase, step ${step}`;
    pictures.forEach((each) => each.show(Number(slider.value)));
  }

  const input = content.image
    ? card("input", element("img", { class: "input", src: content.image, alt: "the input" }), element("figcaption", {}, content.truth === null ? "" : `label ${content.truth}`))
    : null;
  slider.addEventListener("input", show);
  show();
  return element(
    "div", {},
    element("div", { class: "controls" }, play, slider, where),
    element("div", { class: "layers" }, input, ...pictures.map((each) => each.figure)),
  );
}

function valueOf(layer, step, neuron) {
  return layer.low + (layer.values[step * layer.neurons + neuron] / 255) * (layer.high - layer.low);
}

function titled(layer, drawing) {
  const part = layer.neurons < layer.of ? `${layer.neurons} of ${layer.of} neurons` : `${layer.of} neurons`;
  return card(layer.name, drawing, element("figcaption", {}, `${part}, ${told(layer.low)} to ${told(layer.high)}`));
}

// Few neurons: a bar each, from zero.
function bars(layer) {
  const low = Math.min(layer.low, 0), high = Math.max(layer.high, 0), span = high - low || 1;
  const width = WIDE / layer.neurons, toY = (value) => TOP + (1 - (value - low) / span) * (150 - TOP);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDE} 172`, role: "img", "aria-label": `values of layer ${layer.name}` });
  svg.append(drawn("line", { class: "grid-line", x1: 0, x2: WIDE, y1: toY(0), y2: toY(0) }));
  const rods = Array.from({ length: layer.neurons }, (_, at) => {
    const rod = drawn("rect", { x: at * width + 0.14 * width, width: 0.72 * width, fill: colour(0), rx: 2 });
    svg.append(rod, drawn("text", { x: (at + 0.5) * width, y: 168, "text-anchor": "middle" }, at));
    return rod;
  });
  const show = (step) => rods.forEach((rod, at) => {
    const value = valueOf(layer, step, at);
    rod.setAttribute("y", Math.min(toY(value), toY(0)));
    rod.setAttribute("height", Math.max(Math.abs(toY(value) - toY(0)), 0.5));
  });
  return { figure: titled(layer, svg), show };
}

// Many neurons: a square of pixels, dark for low values.
function picture(layer) {
  const columns = Math.ceil(Math.sqrt(layer.neurons)), rows = Math.ceil(layer.neurons / columns);
  const canvas = element("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const show = (step) => {
    const image = context.createImageData(columns, rows);
    for (let at = 0; at < layer.neurons; at += 1) {
      const level = layer.values[step * layer.neurons + at] / 255;
      image.data.set([20 + 210 * level, 40 + 190 * level ** 0.8, 90 + 60 * level, 255], 4 * at);
    }
    context.putImageData(image, 0, 0);
  };
  return { figure: titled(layer, canvas), show };
}
