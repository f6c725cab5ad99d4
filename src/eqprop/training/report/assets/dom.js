// Elements, numbers and colours.
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawn(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

function colour(index) {
  return `var(--c${index % 6})`;
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

// Four digits, and powers of ten where it would be long.
function told(value) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace(/\.0(?=e)/, "").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

function percent(share) {
  return isNumber(share) ? `${(100 * share).toFixed(2)} %` : "–";
}

function table(head, rows, text = []) {
  const kind = (at) => (text.includes(at) ? "text" : null);
  const cells = (row) => row.map((cell, at) => element("td", { class: kind(at) }, cell));
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...head.map((cell, at) => element("th", { class: kind(at) }, cell)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row)))),
    ),
  );
}

function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}

function card(title, ...children) {
  return element("figure", { class: "card" }, title ? element("h3", {}, title) : null, ...children);
}

function choice(label, options, chosen) {
  const select = element(
    "select",
    { "aria-label": label, onchange: () => chosen(select.value) },
    ...options.map((option) => element("option", { value: option }, option)),
  );
  return select;
}
