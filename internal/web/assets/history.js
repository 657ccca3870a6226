// What refclockd keeps: measurements and events of minutes to years.
import * as f from "/format.js";
import { Chart, keptChart, lineChart } from "/chart.js";

const $ = (id) => document.getElementById(id);
const ranges = [["10 minutes", 600], ["Hour", 3600], ["Day", 86400], ["Month", 30 * 86400], ["Two years", 731 * 86400]];
const states = ["unlocked", "acquiring", "locked", "holdover", "faulty"];
const levels = { alarm: "bad", state: "info", step: "warn", leap: "warn", holdover: "warn", task: "bad", start: "idle", stop: "idle", reload: "idle" };
const columns = ["offset_ns", "bound_ns", "frequency_ppb", "temperature_c", "satellites", "cn0_dbhz", "requests_per_s", "state", "noise_ns"];

// setUp returns what is called when the view is opened.
export function setUp(page) {
  let length = 600, zoom = [], timer = 0, turn = 0;
  const charts = page.charts;

  const pick = (seconds) => { length = seconds; zoom = []; load(); };
  const select = (from, to) => { if (to - from >= 10) { zoom.push([from, to]); load(); } };
  const unzoom = () => { if (zoom.length) { zoom.pop(); load(); } };
  let shown = [0, 0]; // the range that is drawn
  // move shows another range: shift and scale are parts of the present one.
  const move = (shift, scale) => {
    const [from, to] = shown, middle = (from + to) / 2 + shift * (to - from), half = (to - from) / 2 * scale;
    const end = Math.min(middle + half, now());
    if (2 * half >= 10) { zoom.push([end - 2 * half, end]); load(); }
  };
  const now = () => page.live?.t.at(-1) || Date.now() / 1e3;
  const buttons = ranges.map(([name, seconds]) => {
    const b = f.el("button", { type: "button" }, name);
    b.addEventListener("click", () => pick(seconds));
    return b;
  });
  const button = (text, label, act) => {
    const b = f.el("button", { type: "button", "aria-label": label }, text);
    b.addEventListener("click", act);
    return b;
  };
  const back = button("Back", "Back to the range before", unzoom);
  const later = button("Later", "Later by half a range", () => move(.5, 1));
  $("ranges").append(...buttons, f.el("span", { class: "gap" }), back, button("Earlier", "Earlier by half a range", () => move(-.5, 1)), later,
    button("Zoom in", "Zoom in to the middle half", () => move(0, .5)), button("Zoom out", "Zoom out to twice the range", () => move(0, 2)));

  // more makes a chart below the first one.
  const more = (id, title) => {
    const chart = f.el("div", { class: "chart", id: "chart-" + id, role: "img", "aria-label": title });
    const figure = f.el("figure", { class: "card" }, f.el("figcaption", {}, f.el("h2", {}, title)), chart);
    $("history-more").append(figure);
    return { figure, chart };
  };
  const parts = [
    ["frequency_ppb", "Frequency error of the oscillator", (x, long, step) => f.fixed(x, long ? 3 : f.decimals(step)) + " ppb"],
    ["temperature_c", "Temperature", (x, long, step) => f.fixed(x, long ? 2 : f.decimals(step)) + " °C"],
    ["satellites", "Satellites in use", (x, long, step) => long ? f.figure(x) : f.fixed(x, f.decimals(step))],
    ["cn0_dbhz", "Carrier to noise", (x, long, step) => f.fixed(x, long ? 1 : f.decimals(step)) + " dB-Hz"],
    ["noise_ns", "Noise of the measurements", (x, long, step) => long ? f.ns(x) : f.tick(x, step)],
    ["requests_per_s", "Requests", (x, long, step) => (long ? f.figure(x) : f.fixed(x, f.decimals(step))) + " /s"],
  ].map(([name, title, y]) => ({ name, y, title, ...more(name, title) }));
  const groups = [["witness_ns:", "Witnesses: clock minus witness"], ["follower_ns:", "Followers: following clock minus clock"], ["compared_pulse_ns:", "Compared pulses: clock minus pulse"]]
    .map(([prefix, title], i) => ({ prefix, title, ...more("group" + i, title) }));
  // The lines of a group differ by colour, and beyond six by dashes too: app.css has the same.
  const colours = ["accent", "warn", "info", "bad", "other", "glonass"], dashes = [undefined, [6, 4], [2, 3]];
  for (const g of groups) g.figure.append(g.legend = f.el("ul", { class: "legend", "aria-hidden": "true" }));

  async function load() {
    clearTimeout(timer);
    const mine = ++turn;
    const end = now();
    const [from, to] = shown = zoom.at(-1) || [end - length, end];
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(!zoom.length && ranges[i][1] === length)));
    back.hidden = !zoom.length;
    later.disabled = to >= end - 1;
    const points = Math.round(Math.max(300, Math.min(1500, $("chart-kept").clientWidth || 800)));
    const span = `from=${from.toFixed(0)}&to=${Math.ceil(to)}`;
    try {
      const [m, e, h] = await Promise.all([
        page.getJSON(`/api/v1/history?${span}&points=${points}`),
        page.getJSON(`/api/v1/events?${span}&limit=300`),
        page.getJSON(`/api/v1/events?from=${(end - 731 * 86400).toFixed(0)}&kinds=holdover&limit=50`),
      ]);
      if (mine !== turn) return;
      $("history-none").hidden = true;
      draw(m, e.events, from, to);
      list(e.events, h.events);
    } catch (err) {
      if (mine !== turn) return;
      $("history-none").hidden = false;
      $("history-none").textContent = "There is no history: " + err.message;
    }
    page.loads = (page.loads || 0) + 1;
    if (!zoom.length && length <= 86400) timer = setTimeout(() => { if (page.shown === "history" && !document.hidden) load(); }, length <= 600 ? 10000 : 60000);
  }

  function draw(m, events, from, to) {
    const n = m.points, t = Array.from({ length: n }, (_, i) => m.start + i * m.step_s);
    const none = () => new Array(n).fill(null);
    const of = (name, which) => m.series[name]?.[which] || m.series[name]?.mean || none();
    const col = {};
    for (const c of columns) col[c] = of(c, "mean").slice();
    const low = of("offset_ns", "min").slice(), high = of("offset_ns", "max").slice(), bound = of("bound_ns", "max").slice();
    const smin = of("state", "min"), smax = of("state", "max");
    const st = t.map((_, i) => smin[i] === null ? null : smax[i] >= 3 ? states[smax[i]] : states[smin[i]]);
    if (m.step_s === 1) { // what is not on the disc yet
      const live = page.live, names = { frequency_ppb: null, temperature_c: "celsius", cn0_dbhz: "cn0" };
      live?.t.forEach((at, k) => {
        const i = Math.round(at - .5) - m.start;
        if (i < 0 || i >= n || st[i] !== null) return;
        st[i] = live.state[k];
        bound[i] = live.bound_ns[k];
        low[i] = high[i] = live.offset_ns[k];
        for (const c of columns) {
          const from = names[c] === undefined ? c : names[c];
          if (from && live[from] && c !== "state") col[c][i] = live[from][k];
        }
      });
    }
    const marks = events.filter((e) => e.kind !== "reload").map((e) => [Date.parse(e.time) / 1e3, e.text, levels[e.kind]]);
    const band = st.map((s) => s || "absent"); // a state for each point
    const c = charts.kept ||= keptChart($("chart-kept"), select, unzoom);
    c.window = [from, to];
    c.set([t, bound, bound.map((b) => b === null ? null : -b), low, high, col.offset_ns], band, marks);
    $("history-span").textContent = `${f.dateText(from)} to ${f.dateText(to)} UTC, a point each ${f.span(m.step_s)}. Drag to see more.`;
    c.describe(`Offset and bound from ${f.dateText(from)} to ${f.dateText(to)} UTC, ${marks.length} events, ${spells(band, m.step_s)}`);
    for (const p of parts) {
      const any = col[p.name].some((v) => v !== null);
      p.figure.hidden = !any;
      if (!any) continue;
      const x = charts[p.name] ||= lineChart(p.chart, p.title.toLowerCase(), p.y, select, unzoom);
      x.window = [from, to];
      x.set([t, col[p.name]], band);
      x.describe(p.title);
    }
    for (const g of groups) {
      const names = Object.keys(m.series).filter((x) => x.startsWith(g.prefix)).sort();
      g.figure.hidden = !names.length;
      if (!names.length) continue;
      const key = names.join();
      if (g.key !== key) {
        g.key = key;
        g.made?.close();
        const look = (i) => [i % colours.length, Math.min(Math.floor(i / colours.length), dashes.length - 1)];
        const series = names.map((x, i) => ({ label: x.slice(g.prefix.length), stroke: colours[look(i)[0]], dash: dashes[look(i)[1]], width: 1.3, points: { show: false } }));
        g.made = charts[g.prefix] = new Chart(g.chart, { log: 1000, y: (v, long) => long ? f.ns(v, true) : f.tick(v), select, back: unzoom, series });
        g.legend.replaceChildren(...series.map((s, i) => f.el("li", { class: `line-${look(i)[0]} dash-${look(i)[1]}` }, s.label)));
      }
      g.made.window = [from, to];
      g.made.set([t, ...names.map((x) => of(x, "mean"))], band);
      g.made.describe(g.title);
    }
  }

  // spells says how much of the time each state has.
  function spells(list, step) {
    const sum = {};
    for (const s of list) if (s !== "absent") sum[s] = (sum[s] || 0) + step;
    return Object.entries(sum).map(([s, n]) => `${s} for ${f.span(n)}`).join(", ") || "no state is kept";
  }

  function list(events, holdovers) {
    const when = (iso) => iso.slice(0, 19).replace("T", " ");
    f.table($("events"), [["UTC"], ["Kind"], ["What happened"]], events.slice().reverse().map((e) => [
      when(e.time), f.el("span", { class: "tag " + ({ bad: "bad", warn: "warn", info: "info" }[levels[e.kind]] || "") }, e.kind),
      f.el("span", {}, e.text + (e.detail ? `: ${e.detail}` : ""), e.remedy ? f.el("span", { class: "remedy-cell" }, "→ " + e.remedy) : null)]));
    if (!events.length) $("events").replaceChildren(f.el("caption", {}, "No events in this range."));
    f.table($("holdovers"), [["Ended, UTC"], ["Lasted", 1], ["Why"], ["Bound promised", 1], ["Offset that came", 1], ["Result"]], holdovers.slice().reverse().map((e) => {
      const kept = e.offset_ns === undefined || e.bound_ns === undefined ? null : Math.abs(e.offset_ns) <= e.bound_ns;
      return [when(e.time), e.duration_s === undefined ? "–" : f.span(e.duration_s), f.words(e.reason || ""), e.bound_ns === undefined ? "none" : "±" + f.ns(e.bound_ns), e.offset_ns === undefined ? "–" : f.ns(e.offset_ns, true),
        kept === null ? "–" : f.el("span", { class: "tag " + (kept ? "good" : "bad") }, kept ? "inside" : "outside")];
    }));
    if (!holdovers.length) $("holdovers").replaceChildren(f.el("caption", {}, "There was none."));
  }

  page.history = { pick, select, load };
  return load;
}
