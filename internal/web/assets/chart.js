// Charts over time, drawn with uPlot.
import { clockText, dateText, ns, tick } from "/format.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const stateColour = { locked: "good", holdover: "warn", acquiring: "info", unlocked: "bad", faulty: "bad", absent: "idle" };
const charts = new Set();

// When the colours of the system change, everything is drawn again.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((c) => c.rebuild()));

// say speaks a text to those who use a screen reader.
function say(text) { document.getElementById("announce").textContent = text; }

// runs returns the stretches of equal states: [from, to, state] as indices.
export function runs(states) {
  const out = [];
  for (let i = 0; i < states.length; i++) {
    const last = out[out.length - 1];
    if (last && last[2] === states[i]) last[1] = i;
    else out.push([i, i, states[i]]);
  }
  return out;
}

// Chart is a chart in an element. kind has: series (of uPlot, without the first),
// bands, y (format of a value; whether it is for a text, not for the axis; the distance of
// the axis' labels, missing on a log axis), log (asinh axis), select (called with the zoomed range),
// title (for those who do not see it). Keys: left, right, home and end move along the
// data, and say the figures there; + zooms to them, - and Escape back.
export class Chart {
  constructor(element, kind) {
    this.element = element;
    this.kind = kind;
    this.data = [[], ...kind.series.map(() => [])];
    this.states = [];
    this.marks = [];
    this.at = null; // index that the keys have reached
    charts.add(this);
    element.tabIndex = 0;
    element.setAttribute("role", "application");
    element.setAttribute("aria-roledescription", "chart");
    const { signal } = this.open = new AbortController();
    element.addEventListener("keydown", (e) => this.key(e), { signal });
    element.addEventListener("blur", () => { this.at = null; this.plot?.setCursor({ left: -10, top: -10 }); }, { signal });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(element);
  }

  // close leaves the element to another chart.
  close() {
    this.open.abort();
    this.observer.disconnect();
    charts.delete(this);
    this.plot?.destroy();
  }

  // key moves along the data, or zooms.
  key(e) {
    if (e.ctrlKey || e.altKey || e.metaKey || !this.plot) return;
    const t = this.data[0], [low, high] = [this.plot.scales.x.min, this.plot.scales.x.max];
    const first = Math.max(0, t.findIndex((x) => x >= low)), last = t.findLastIndex((x) => x <= high);
    if (last < first) return;
    const step = Math.max(1, Math.round((last - first) / (e.shiftKey ? 10 : 60)));
    const at = this.at ?? last;
    const to = { ArrowLeft: at - step, ArrowRight: at + step, Home: first, End: last }[e.key];
    if (to !== undefined) {
      this.at = Math.max(first, Math.min(last, to));
      this.plot.setCursor({ left: this.plot.valToPos(t[this.at], "x"), top: 0 });
      say(this.words(this.at));
    } else if (e.key === "+" && this.kind.select) {
      const half = (high - low) / 8;
      this.kind.select(t[at] - half, t[at] + half);
      this.at = null;
    } else if ((e.key === "-" || e.key === "Escape") && this.kind.back) {
      this.kind.back();
      this.at = null;
    } else return;
    e.preventDefault();
  }

  // describe sets the text that represents the chart: what it shows, and its figures.
  describe(title) {
    const parts = this.kind.series.map((s, k) => [s.label, this.data[k + 1].filter((v) => v !== null && v !== undefined)]).filter(([label]) => label)
      .map(([label, v]) => v.length ? `${label} ${this.kind.y(v.reduce((a, b) => Math.min(a, b)), true)} to ${this.kind.y(v.reduce((a, b) => Math.max(a, b)), true)}` : `${label} none`);
    this.element.setAttribute("aria-label", `${title}. ${parts.join(", ")}.`);
  }

  resize() {
    const { clientWidth: w, clientHeight: h } = this.element;
    if (w < 40 || h < 40) return; // it is not shown
    if (!this.plot || this.stale) this.rebuild();
    else this.plot.setSize({ width: w, height: h });
  }

  rebuild() {
    const { clientWidth: width, clientHeight: height } = this.element;
    this.stale = width < 40 || height < 40; // it is not shown: it is drawn when it is
    if (this.stale) return;
    this.plot?.destroy();
    this.element.replaceChildren();
    const kind = this.kind, soft = colour("soft"), line = colour("line");
    const font = `${Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * .78)}px system-ui, sans-serif`;
    const axis = { stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const scaleY = kind.log ? { distr: 4, asinh: kind.log, range: kind.range0 ? upwards : symmetric } : { range: kind.range || ((u, a, b) => spread(a, b)) };
    const paint = (s) => {
      const c = { ...s, spanGaps: false };
      for (const k of ["stroke", "fill"]) if (c[k] && !c[k].includes("(")) c[k] = colour(c[k]);
      return c;
    };
    this.plot = new uPlot({
      width, height, pxAlign: 0,
      padding: [10, 24, 0, 0],
      tzDate: (t) => uPlot.tzDate(new Date(t * 1e3), "Etc/UTC"),
      scales: { x: kind.logX ? { time: false, distr: 3, range: decades } : { time: true, range: (u, a, b) => this.window || [a, b] }, y: kind.logX ? { distr: 3, range: decades } : scaleY },
      axes: [
        { ...axis, size: 34, space: 70, filter: kind.logX ? powers : undefined, values: kind.logX ? (u, v) => v.map((x) => x === null ? "" : kind.tick(x)) : times },
        { ...axis, size: (u, v) => Math.max(46, 18 + Math.max(0, ...(v || []).map((x) => String(x).length)) * parseFloat(font) * .62), values: (u, v, i, space, step) => v.map((x) => x === null || x === undefined ? "" : kind.y(x, false, kind.log || kind.logX ? undefined : step)), splits: kind.log ? asinhTicks : undefined, filter: kind.logX ? powers : (u, v) => v },
      ],
      series: [{ value: (u, t) => t === null ? "" : clockText(t) }, ...kind.series.map(paint)],
      bands: (kind.bands || []).map((b) => ({ ...b, fill: colour(b.fill) })),
      cursor: { drag: { x: !!kind.select, y: false, setScale: false }, points: { size: 6 } },
      legend: { show: false },
      hooks: {
        draw: [(u) => this.drawStates(u)],
        setSelect: [(u) => {
          if (kind.select && u.select.width > 4) kind.select(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
        }],
        setCursor: [(u) => this.tip(u)],
      },
    }, this.data, this.element);
    this.note = document.createElement("div");
    this.note.className = "tip";
    this.note.hidden = true;
    this.plot.over.append(this.note);
  }

  // set shows data: columns, the state of each row, and marks [time, text, level].
  set(data, states, marks) {
    this.data = data;
    this.states = states || [];
    this.marks = marks || [];
    this.long = data[0].length > 1 && data[0][data[0].length - 1] - data[0][0] > 86400;
    if (this.plot && !this.stale) this.plot.setData(data);
    else this.resize();
  }

  // drawStates draws the strip of states at the bottom, and the marks.
  drawStates(u) {
    const { ctx, bbox } = u, r = devicePixelRatio, h = 5 * r;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const t = this.data[0], at = (i) => u.valToPos(t[Math.min(i, t.length - 1)], "x", true);
    for (const [a, b, s] of runs(this.states)) {
      ctx.fillStyle = colour(stateColour[s] || "idle");
      ctx.fillRect(at(a), bbox.top + bbox.height - h, Math.max(at(b + 1) - at(a), r), h);
    }
    for (const [when, , level] of this.marks) {
      const x = u.valToPos(when, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(level || "soft");
      ctx.lineWidth = r;
      ctx.setLineDash([3 * r, 3 * r]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(x, bbox.top + 4 * r, 3 * r, 0, 7);
      ctx.fill();
    }
    ctx.restore();
  }

  // words are the figures of a row.
  words(i) {
    const parts = [this.kind.x ? this.kind.x(this.data[0][i]) : this.long ? dateText(this.data[0][i]) : clockText(this.data[0][i])];
    this.kind.series.forEach((s, k) => {
      const v = this.data[k + 1][i];
      if (s.label && v !== null && v !== undefined) parts.push(`${s.label} ${this.kind.y(v, true)}`);
    });
    if (this.states[i]) parts.push(this.states[i]);
    const x = this.plot.valToPos(this.data[0][i], "x"), near = this.marks.find((m) => Math.abs(this.plot.valToPos(m[0], "x") - x) < 6);
    if (near) parts.push(near[1]);
    return parts.join(" · ");
  }

  // tip shows the figures under the cursor.
  tip(u) {
    const i = u.cursor.idx;
    if (i === null || i === undefined || u.cursor.left < 0) { this.note.hidden = true; return; }
    this.note.textContent = this.words(i);
    this.note.hidden = false;
    this.note.dataset.side = u.cursor.left > u.over.clientWidth / 2 ? "left" : "right";
  }
}

// powers keeps the powers of ten of the labels of an axis.
function powers(u, splits) {
  return splits.map((v) => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null);
}

// decades is a range of whole powers of ten.
function decades(u, a, b) {
  if (!(a > 0) || !(b > 0)) return [1, 10];
  return [10 ** Math.floor(Math.log10(a) + 1e-9), 10 ** Math.ceil(Math.log10(Math.max(b, a * 1.01)) - 1e-9)];
}

// symmetric is a range around zero that contains all values.
function symmetric(u, a, b) {
  const m = Math.max(Math.abs(a ?? 0), Math.abs(b ?? 0), 10) * 1.25;
  return [-m, m];
}

// upwards is a range from zero.
function upwards(u, a, b) {
  return [0, Math.max(b ?? 0, 10) * 1.6];
}

function spread(a, b) {
  if (a === null || b === null || a === undefined || b === undefined) return [0, 1];
  const pad = b > a ? (b - a) * .12 : Math.max(Math.abs(b) * .1, 1);
  return [a >= 0 && a - pad < 0 ? 0 : a - pad, b + pad];
}

// asinhTicks are 0 and powers of ten on both sides, as many as fit.
function asinhTicks(u, axis, min, max) {
  const out = [0];
  const least = u.scales.y.asinh, place = (v) => Math.asinh(v / least);
  const top = Math.max(Math.abs(min), Math.abs(max));
  const pixels = (u.bbox.height / devicePixelRatio || 200) / (place(max) - place(min));
  let last = 0;
  for (let v = Math.pow(10, Math.ceil(Math.log10(least))); v <= top; v *= 10) {
    if ((place(v) - place(last)) * pixels < 18) continue; // the labels would touch
    out.push(v, -v);
    last = v;
  }
  for (let k = 0, e = Math.floor(Math.log10(top)); out.length < 5 && k < 6; k++) { // few powers of ten fit: round numbers beside them
    const v = [5, 2, 1][k % 3] * 10 ** (e - Math.floor(k / 3));
    if (v <= top && out.every((x) => Math.abs(place(v) - place(x)) * pixels >= 18)) out.push(v, -v);
  }
  return out.filter((v) => v >= min && v <= max).sort((x, y) => x - y);
}

function times(u, splits, axis, space, step) {
  return splits.map((t) => {
    const d = new Date(t * 1e3).toISOString();
    if (step >= 28 * 86400) return d.slice(0, 7);
    if (step >= 86400) return d.slice(5, 10);
    return step >= 60 ? d.slice(11, 16) : d.slice(11, 19);
  });
}

// keptChart shows offset and bound of longer times: also the lowest and highest offset.
export function keptChart(element, select, back) {
  return new Chart(element, {
    log: 100, y: (x, long) => long ? ns(x, true) : tick(x), select, back,
    series: [
      { label: "bound", stroke: "edge", width: 1.2, points: { show: false } },
      { stroke: "edge", width: 1.2, points: { show: false } },
      { label: "lowest", stroke: "soft", width: .5, points: { show: false } },
      { label: "highest", stroke: "soft", width: .5, points: { show: false } },
      { label: "mean", stroke: "ink", width: 1.4, points: { show: false } },
    ],
    bands: [{ series: [1, 2], fill: "band" }, { series: [4, 3], fill: "band" }],
  });
}

// offsetChart shows the offset inside the bound.
export function offsetChart(element, select) {
  return new Chart(element, {
    log: 100, y: (x, long) => long ? ns(x, true) : tick(x), select,
    series: [
      { label: "bound", stroke: "edge", width: 1.2, points: { show: false } },
      { stroke: "edge", width: 1.2, points: { show: false } },
      { label: "offset", stroke: "ink", width: 1.6, points: { show: false } },
    ],
    bands: [{ series: [1, 2], fill: "band" }],
  });
}

// lineChart shows one figure.
export function lineChart(element, label, y, select, back) {
  return new Chart(element, { y, select, back, series: [{ label, stroke: "accent", width: 1.6, points: { show: false } }] });
}
