// Texts for people: figures with two or three digits and a unit, on one line.

export function figure(x) {
  const a = Math.abs(x);
  if (a === 0) return "0";
  return (x < 0 ? "−" : "") + a.toFixed(a >= 99.5 ? 0 : a >= 9.95 ? 1 : 2);
}

// x with a fixed number of digits behind the point.
export const fixed = (x, digits) => (x < 0 ? "−" : "") + Math.abs(x).toFixed(digits);

// The digits behind the point that tell multiples of step apart.
export function decimals(step) {
  let n = 0;
  while (n < 9 && Math.abs(step * 10 ** n - Math.round(step * 10 ** n)) > 1e-6) n++;
  return n;
}

// A coefficient, which may be far below one: its sign and up to three digits.
export const coefficient = (x) => (x < 0 ? "−" : "+") + String(+Math.abs(x).toPrecision(3));

// A duration of x ns, with its sign if signed.
export function ns(x, signed) {
  if (x === null || x === undefined) return "none";
  const a = Math.abs(x), sign = x < 0 ? "−" : signed ? "+" : "";
  if (a < 1e3) return sign + (a < 9.95 ? a.toFixed(1) : a.toFixed(0)) + "\u00a0ns";
  if (a < 1e6) return sign + figure(a / 1e3) + "\u00a0µs";
  if (a < 1e9) return sign + figure(a / 1e6) + "\u00a0ms";
  return sign + figure(a / 1e9) + "\u00a0s";
}

// The label of an axis for x ns. step is the distance of the labels, if it is fixed.
export function tick(x, step) {
  const a = Math.abs(x), sign = x < 0 ? "−" : "";
  if (a === 0) return "0";
  const [size, unit] = a < 1e3 ? [1, "ns"] : a < 1e6 ? [1e3, "µs"] : a < 1e9 ? [1e6, "ms"] : [1e9, "s"];
  return sign + (step ? (a / size).toFixed(decimals(step / size)) : +(a / size).toPrecision(3)) + "\u00a0" + unit;
}

// A time of s seconds with its two largest units.
export function span(s) {
  const n = Math.floor(s);
  const units = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  for (const [size, name, rest, restName] of units) {
    if (n < size) continue;
    const r = Math.floor((n % size) / rest);
    return Math.floor(n / size) + " " + name + (r ? " " + r + " " + restName : "");
  }
  return n + "\u00a0s";
}

export const words = (s) => s.replaceAll("_", " ");
export const count = (n) => n.toLocaleString("en");
export const clockText = (t) => new Date(t * 1000).toISOString().slice(11, 19);
export const dateText = (t) => new Date(t * 1000).toISOString().slice(0, 16).replace("T", " ");
export const dayText = (t) => new Date(t * 1000).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });

// el makes an element: el("td", {class: "n"}, "text", child).
export function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) if (v !== null && v !== undefined) e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// svg makes an element of a drawing.
export function svg(name, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// table fills a table: columns are [heading, numeric], rows are lists of texts or elements.
export function table(t, columns, rows) {
  const head = el("thead", {}, el("tr", {}, ...columns.map(([h, n]) => el("th", { scope: "col", class: n ? "n" : null }, h))));
  const body = el("tbody", {}, ...rows.map((r) => el("tr", {}, ...r.map((c, i) => el("td", { class: columns[i][1] ? "n" : null }, c)))));
  t.replaceChildren(head, body);
}

// facts fills a description list with [name, value]; values that are missing are left out.
export function facts(dl, list) {
  dl.replaceChildren(...list.filter(([, v]) => v !== null && v !== undefined && v !== "").flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]));
}

// tiles fills a list of figures: [name, value, note].
export function tiles(dl, list) {
  dl.replaceChildren(...list.map(([k, v, note]) => el("div", {}, el("dt", {}, k), el("dd", {}, v, note ? el("small", {}, note) : null))));
}
