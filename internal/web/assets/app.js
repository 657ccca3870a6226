// The page: reads the stream of states and shows the chosen view.
import * as f from "/format.js";
import { Chart, lineChart, offsetChart, runs } from "/chart.js";
import * as sky from "/sky.js";
import { setUp as setUpHistory } from "/history.js";
import { setUp as setUpStability } from "/stability.js";
import { setUp as setUpFleet } from "/fleet.js";

const $ = (id) => document.getElementById(id);
const KEPT = 600;
const page = { last: null, live: null, charts: {}, views: {}, errors: [] };
globalThis.noonmark = page; // for those who look at what is drawn

// --- reading ---------------------------------------------------------------------

let token = sessionStorage.getItem("token") || "";

class Refused extends Error {}

async function get(path) {
  const r = await fetch(path, { headers: token ? { Authorization: "Bearer " + token } : {}, cache: "no-store" });
  if (r.status === 401) throw new Refused(token ? "The token is wrong." : "");
  return r;
}
export async function getJSON(path) {
  const r = await get(path);
  const body = await r.json();
  if (!r.ok) throw new Error(body.error || r.statusText);
  return body;
}
page.getJSON = getJSON;

$("login").addEventListener("submit", (e) => {
  e.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  $("login").hidden = true;
  start();
});

function askToken(why) {
  if (why) $("login-why").textContent = why;
  $("login").hidden = false;
  document.querySelectorAll(".view").forEach((v) => { v.hidden = true; });
  $("token").focus();
}

function linked(on, text) {
  $("link").toggleAttribute("data-on", on);
  if ($("link").textContent !== text) $("link").textContent = text;
}

// stream reads server-sent events for as long as the connection lasts.
async function stream() {
  const r = await get("/api/v1/stream");
  if (!r.ok) throw new Error((await r.json()).error);
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let i; (i = text.indexOf("\n\n")) >= 0; text = text.slice(i + 2)) {
      const data = text.slice(0, i).split("\n").filter((l) => l.startsWith("data: ")).map((l) => l.slice(6)).join("\n");
      if (data) update(JSON.parse(data));
    }
  }
}

let running = false;
async function start() {
  if (running) return;
  running = true;
  try {
    for (let wait = 1; ; wait = Math.min(wait * 2, 15)) {
      try {
        page.live = await getJSON("/api/v1/live");
        show();
        await stream();
        wait = 1;
      } catch (e) {
        if (e instanceof Refused) { askToken(e.message); return; }
      }
      linked(false, "no connection, trying again");
      document.body.dataset.level = "none";
      await new Promise((done) => setTimeout(done, wait * 1000));
    }
  } finally { running = false; }
}

// --- states ------------------------------------------------------------------------

const columns = ["t", "state", "offset_ns", "bound_ns", "bound_rate_ns_per_s", "noise_ns", "freq_ppb", "celsius", "satellites", "cn0", "requests_per_s"];

function update(u) {
  page.last = u;
  linked(true, "live");
  const live = page.live, t = u.sample.t?.[0];
  if (live && t !== undefined) {
    const newest = live.t[live.t.length - 1];
    if (newest !== undefined && Math.abs(t - newest) > 30) { // the clock was set
      getJSON("/api/v1/live").then((l) => { page.live = l; draw(); }, () => {});
    } else if (newest === undefined || t > newest + .2) {
      for (const c of columns) {
        live[c] = live[c] || [];
        live[c].push(u.sample[c][0]);
        if (live[c].length > KEPT) live[c].shift();
      }
      live.holdover_predicted = u.sample.holdover_predicted;
    }
  }
  draw();
}

let shown = "now", announced = { state: "", todo: "" };

// announce speaks a new state, and what has become to be done.
function announce(x) {
  const todo = x.todo.map((t) => `${t.what}: ${t.remedy}`).join(". ");
  const words = [x.state !== announced.state ? x.clock : "", todo !== announced.todo && todo ? "To do: " + todo : ""].filter(Boolean).join(" ");
  if (words) $("announce").textContent = words;
  announced = { state: x.state, todo };
}

function draw() {
  const u = page.last;
  if (!u) return;
  document.body.dataset.level = u.summary.level;
  announce(u.summary);
  document.title = `${u.summary.state} · Noonmark`;
  $("nav-fleet").hidden = !u.fleet;
  try {
    page.views[shown]?.(u);
  } catch (e) { // a defect of the page is no lost connection
    page.errors.push(String(e));
    console.error(e);
  }
}

// --- now ----------------------------------------------------------------------------

// The clock on the page runs on between two states.
let base = null;
function tick() {
  const now = base ? base.t + (performance.now() - base.at) / 1e3 : null;
  if (now !== null) {
    const over = base.leap ? now - base.leap : -1; // since the start of an inserted second
    $("time").textContent = over >= 0 && over < 1 ? "23:59:60" : f.clockText(over >= 1 ? now - 1 : now);
    const day = f.dayText(over >= 0 ? now - 1 : now);
    if (!$("date").textContent.startsWith(day)) $("date").textContent = day + base.note;
  } else {
    $("time").textContent = "--:--:--";
    $("date").textContent = "no time yet";
  }
  setTimeout(tick, now === null ? 500 : 1000 - (now * 1000) % 1000 + 5);
}

function setBase(s) {
  if (!s || !s.time || !s.synchronised) { base = null; return; }
  const note = ` · UTC · TAI−UTC ${s.tai_offset_s} s`;
  if (base && base.note !== note) $("date").textContent = "";
  const leap = s.leap_at && s.leap_sources?.sign > 0 ? Date.parse(s.leap_at.slice(0, 19) + "Z") / 1e3 : 0;
  base = { t: Date.parse(s.time.slice(0, 23) + "Z") / 1e3, at: performance.now(), note, leap };
}

const within = (s) => s.bound_ns === null ? "none" : "±" + f.ns(s.bound_ns);

page.views.now = (u) => {
  const s = u.status, x = u.summary;
  setBase(s);
  $("state").textContent = x.state === "absent" ? "no clock" : x.state;
  $("sentence").textContent = x.clock;
  $("clients").textContent = x.clients;
  const found = page.findings || [];
  const todo = x.todo.concat(found.filter((y) => y.level === "fail"));
  const more = found.filter((y) => y.level === "warn").length;
  $("more").hidden = !more;
  $("more").textContent = more === 1 ? "Doctor has one finding to look at." : `Doctor has ${more} findings to look at.`;
  $("ok").hidden = todo.length > 0 || x.level !== "good";
  $("todo").hidden = !todo.length;
  fill($("todo"), JSON.stringify(todo), () => todo.map((t) => f.el("li", {}, f.el("span", {}, t.what), t.remedy ? f.el("div", { class: "remedy" }, t.remedy) : null)));
  if (s) {
    const age = s.pulse.age_s;
    f.tiles($("tiles"), [
      ["Error bound", within(s), s.limit_ns ? `limit ${f.ns(s.limit_ns)}` : ""],
      ["Offset", age !== null && age < 2 ? f.ns(s.offset_ns, true) : "none", age === null ? "no pulse accepted yet" : age < 2 ? "clock minus reference" : `last pulse ${f.span(age)} ago`],
      ["Noise", f.ns(s.noise_ns), "standard deviation"],
      ["Frequency", f.figure(s.freq_ppb) + " ppb", "correction in force"],
      ["Satellites", s.receiver.satellites === null ? "–" : String(s.receiver.satellites), s.receiver.fix ? `fix ${s.receiver.fix}` : "no fix reported"],
      ["Requests", u.sample.requests_per_s?.[0] == null ? "–" : f.figure(u.sample.requests_per_s[0]) + " /s", u.server ? "ntsserve" : "ntsserve publishes nothing"],
    ]);
    holdover(s);
    pastHoldover(s);
  } else f.tiles($("tiles"), []);
  const view = s?.receiver.sky || [];
  $("sky-line").textContent = sky.describe(view);
  fill($("sky-small"), JSON.stringify(view), () => { sky.plot($("sky-small"), view, false); return null; });
  drawLive();
};

// fill replaces the content of an element when its key changes.
function fill(e, key, make) {
  if (e.dataset.key === key) return;
  e.dataset.key = key;
  const c = make();
  if (c) e.replaceChildren(...c);
}

// lately is the time that live charts show: ten minutes, or at first two.
function lately(l) {
  const end = l.t[l.t.length - 1];
  return [Math.max(end - 600, Math.min(l.t[0], end - 120)), end];
}

function drawLive() {
  const l = page.live;
  if (!l || !l.t.length) return;
  const c = page.charts.live ||= offsetChart($("chart-live"));
  c.window = lately(l);
  c.set([l.t, l.bound_ns, l.bound_ns.map((b) => b === null ? null : -b), l.offset_ns], l.state);
  const n = l.t.length - 1;
  c.describe(`Offset and bound of the last ten minutes. Now ${l.state[n]}, offset ${f.ns(l.offset_ns[n], true)}, bound ${f.ns(l.bound_ns[n])}`);
  if ($("table-live").closest("details").open) {
    const rows = [];
    for (let i = n; i >= 0 && rows.length < 60; i -= 10) rows.push([f.clockText(l.t[i]), l.state[i], f.ns(l.offset_ns[i], true), f.ns(l.bound_ns[i]), f.figure(l.freq_ppb[i]) + " ppb"]);
    f.table($("table-live"), [["UTC"], ["State"], ["Offset", 1], ["Bound", 1], ["Frequency", 1]], rows);
  }
}

// between returns the value at x of points that are joined by lines, null outside.
function between(xs, ys, x) {
  const i = xs.findIndex((v) => v >= x);
  if (i < 0 || i === 0 && xs[0] > x) return null;
  return i === 0 ? ys[0] : ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1]);
}

// ahead says the bound that is predicted some times ahead, without pulses.
function ahead(times, forecast) {
  if (!forecast) return null;
  const xs = forecast.ahead.map((p) => p.in_s), ys = forecast.ahead.map((p) => p.bound_ns);
  return times.map(([s, name]) => [between(xs, ys, s), name]).filter(([v]) => v !== null).map(([v, name]) => `±${f.ns(v)} after ${name}`).join(", ") + " without pulses";
}

// holdover shows how much of the limit the bound takes, and when it reaches it.
function holdover(s) {
  f.facts($("hold-facts"), [
    ["Predicted", ahead([[60, "a minute"], [3600, "an hour"], [86400, "a day"]], s.forecast)],
    ["If refclockd stops", s.limit_in_s === null ? "the bound does not grow" : `limit in ${f.span(s.limit_in_s)}, ${f.ns(s.bound_rate_ns_per_s)} a second`],
    ["Lock stands on", s.lock ? `${f.count(s.lock.pulses_accepted)} pulses, ${f.count(s.lock.seconds_agreed)} seconds` : null],
    ["Unexplained jump", s.lock?.unexplained_jump_ns ? f.ns(s.lock.unexplained_jump_ns) : null],
    ["Last pulse", s.pulse.age_s === null ? "none yet" : f.span(s.pulse.age_s) + " ago"],
    ["Last message", s.receiver.age_s === null ? "none yet" : f.span(s.receiver.age_s) + " ago"],
    ["Reference time", s.reference_time ? s.reference_time.slice(11, 19) + " UTC" : null],
  ]);
  if (!s.limit_ns || s.bound_ns === null) {
    $("hold-line").textContent = "There is no bound to hold.";
    $("hold").replaceChildren();
    return;
  }
  const held = s.state === "holdover", next = s.forecast, limit = f.ns(s.limit_ns);
  const when = held ? "The bound is predicted to reach" : "If the pulses stopped now, the bound would reach";
  const left = s.bound_ns > s.limit_ns ? "The bound is beyond the limit: clients see a server that is not synchronised."
    : next ? next.limit_in_s === null ? `The bound stays within ${limit} for more than a year.` : `${when} ${limit} in ${f.span(next.limit_in_s)}.`
      : !held && !s.stopped ? "There is no prediction yet."
      : s.limit_in_s === null ? "The bound does not grow." : `At the present rate the bound reaches ${limit} in ${f.span(s.limit_in_s)}.`;
  $("hold-line").textContent = left;
  const at = (v) => 300 * Math.asinh(v / 10) / Math.asinh(s.limit_ns / 10);
  const g = f.svg("svg", { viewBox: "0 0 320 70", role: "img", "aria-label": left });
  g.append(f.svg("rect", { class: "trackbar", x: 10, y: 24, width: 300, height: 14, rx: 7 }));
  g.append(f.svg("rect", { class: "fillbar " + (held ? "warnbar" : ""), x: 10, y: 24, width: Math.max(2, Math.min(300, at(s.bound_ns))), height: 14, rx: 7 }));
  for (const v of [0, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8]) {
    if (v > s.limit_ns) break;
    const t = f.svg("text", { x: 10 + at(v), y: 54, "text-anchor": v === 0 ? "start" : v > s.limit_ns / 3 ? "end" : "middle" });
    t.append(v === 0 ? "0" : f.ns(v).replace(/\.\d+/, ""));
    g.append(t, f.svg("line", { class: "gridline", x1: 10 + at(v), x2: 10 + at(v), y1: 38, y2: 43 }));
  }
  const b = f.svg("text", { x: Math.min(Math.max(at(s.bound_ns) + 10, 30), 290), y: 17, "text-anchor": "middle", class: "strong" });
  b.append("bound " + f.ns(s.bound_ns));
  g.append(b);
  $("hold").replaceChildren(g);
}

// pastHoldover shows the last holdover of these minutes: the bound as it was predicted
// at the start beside what came.
function pastHoldover(s) {
  const l = page.live, run = l ? runs(l.state).filter((r) => r[2] === "holdover" && r[1] - r[0] >= 5).at(-1) : null;
  $("hold-past").hidden = !run;
  if (!run) return;
  const [a, b] = run;
  const t = l.t.slice(a, b + 1), came = l.bound_ns.slice(a, b + 1), then = l.holdover_predicted;
  const predicted = t.map((x) => then ? between(then.t, then.bound_ns, x) : null);
  const error = b + 1 < l.t.length ? l.offset_ns.slice(b - 1).find((x) => x !== null) : null;
  $("hold-past-line").textContent = `The holdover of ${f.clockText(l.t[a])}, ${f.span(t.at(-1) - t[0])}: bound ${f.ns(came.at(-1))}, ${predicted.at(-1) === null ? "no prediction" : `predicted ${f.ns(predicted.at(-1))}`}` +
    (error === null || error === undefined ? "." : `; the offset after it was ${f.ns(error, true)}.`);
  const c = page.charts.hold ||= new Chart($("chart-hold"), { log: 100, range0: true, y: (x, long) => long ? f.ns(x) : f.tick(x), series: [
    { label: "what came", stroke: "accent", width: 2, points: { show: false } },
    { label: "predicted", stroke: "soft", width: 1.4, dash: [5, 4], points: { show: false } },
    { label: "limit", stroke: "bad", width: 1.2, points: { show: false } }] });
  c.window = [l.t[a], l.t[b]];
  c.set([t, came, predicted, t.map(() => s.limit_ns || null)]);
  c.describe("Bound in the last holdover");
}

// --- sky ------------------------------------------------------------------------------

const protocolNames = { nmea: "NMEA 0183", ubx: "UBX" };

page.views.sky = (u) => {
  const s = u.status, view = s?.receiver.sky || [];
  $("sky-text").textContent = sky.describe(view);
  fill($("sky-plot"), JSON.stringify(view), () => {
    sky.plot($("sky-plot"), view, true);
    sky.bars($("sky-bars"), view);
    sky.legend($("sky-legend"), view);
    sky.satellites($("sky-table"), view);
    return null;
  });
  if (!s) return;
  const r = s.receiver, id = r.identity, tag = (word, good) => word ? f.el("span", { class: "tag " + (word === good ? "good" : "bad") }, word) : null;
  f.facts($("receiver"), [
    ["Model", id ? [id.maker, id.model].filter(Boolean).join(" ") || "not said by the receiver" : null], ["Firmware", id?.firmware], ["Hardware", id?.hardware],
    ["Protocol", id?.protocols ? id.protocols.map((x) => protocolNames[x] || x).join(", ") + (id.protocol_version ? `, version ${id.protocol_version}` : "") : null],
    ["Port", r.source], ["Fix", r.fix], ["Satellites in use", r.satellites === null ? null : String(r.satellites)],
    ["Antenna", tag(r.antenna, "ok")], ["Jamming", tag(r.jamming, "none")], ["Spoofing", tag(r.spoofing, "none")],
    ["Messages", `${f.count(r.accepted)} accepted, ${f.count(r.refused)} refused`], ["Last message", r.age_s === null ? "none yet" : f.figure(r.age_s) + " s ago"],
    ["Latency", r.latency_s === null ? null : (r.latency_s * 1e3).toFixed(0) + " ms after the second"], ["Second named by", r.label_source],
  ]);
  const o = s.oscillator;
  f.facts($("pulse"), [
    ["Pulse", s.pulse.source], ["Pulses", `${f.count(s.pulse.accepted)} accepted, ${f.count(s.pulse.refused)} refused, ${f.count(s.pulse.missed || 0)} missed`],
    ["Last pulse", s.pulse.age_s === null ? "none yet" : f.figure(s.pulse.age_s) + " s ago"],
    ["Clock", `${s.clock.kind} ${s.clock.device}`], ["Steps", String(s.clock.epoch)], ["Model within", f.ns(s.clock.line_error_ns)],
    ["Lock", s.lock ? (s.lock.provisional ? `young: stands on ${s.lock.pulses_accepted} pulses` : `stands on ${f.count(s.lock.pulses_accepted)} pulses`) : null],
    ["Temperature", o && o.celsius !== null ? f.fixed(o.celsius, 1) + " °C" + (o.sensor_stuck ? ", the sensor is stuck: not used" : "") : null],
    ["Effect of temperature", !o || o.celsius === null && !o.ppb_per_kelvin ? null : o.ppb_per_kelvin ? `${f.coefficient(o.ppb_per_kelvin)} ppb/K, lag ${f.span(o.lag_s)}` : "none seen so far"],
    ["Ageing", o && o.ageing_ppb_per_day ? f.coefficient(o.ageing_ppb_per_day) + " ppb/day" : null],
    ...s.pulses.map((p) => ["Compared pulse " + p.source, p.offset_ns === null ? "none yet" : f.ns(p.offset_ns, true) + (p.alarm ? ", ALARM " + f.words(p.alarm) : "")]),
  ]);
};

// --- server -----------------------------------------------------------------------------

const rowsOf = (title, counts, total, bad) => {
  const list = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  if (!list.length) return [];
  return [f.el("h3", {}, title), ...list.flatMap(([k, n]) => [
    f.el("span", {}, f.words(k)),
    f.el("progress", { max: Math.max(total, 1), value: n, class: bad ? "no" : null, "aria-label": `${f.words(k)}: ${n} of ${total}` }),
    f.el("span", { class: "n" }, f.count(n)),
  ])];
};

page.views.server = (u) => {
  const v = u.server;
  $("server-none").hidden = !!v;
  $("server-body").hidden = !v;
  if (!v) { $("server-none").textContent = u.server_error || "ntsserve publishes nothing."; return; }
  const sum = (of) => v.endpoints.reduce((n, e) => n + of(e), 0);
  const answered = sum((e) => Object.values(e.answered).reduce((a, b) => a + b, 0));
  const hard = sum((e) => e.receive_stamps.hardware || 0), requests = sum((e) => e.requests);
  const late = v.endpoints.reduce((m, e) => Math.max(m, e.transmit_late.p99_ns, e.transmit_early.p99_ns), 0);
  f.tiles($("server-tiles"), [
    ["Requests", f.count(requests), `in ${f.span(v.uptime_s)}`],
    ["A second", u.sample.requests_per_s?.[0] == null ? "–" : f.figure(u.sample.requests_per_s[0]), "now"],
    ["Answered", requests ? (100 * answered / requests).toFixed(1) + " %" : "–", v.synchronised ? "as synchronised" : "as not synchronised"],
    ["Hardware stamps", requests ? (100 * hard / requests).toFixed(0) + " %" : "–", "of received requests"],
    ["Transmit stamps", late ? f.ns(late) : "–", late ? "99 of 100 are closer" : "no departure was measured yet"],
  ]);
  const l = page.live;
  if (l && l.t.length) {
    const c = page.charts.requests ||= lineChart($("chart-requests"), "requests", (x, long, step) => (long ? f.figure(x) : f.fixed(x, f.decimals(step))) + " /s");
    c.window = lately(l);
    c.set([l.t, l.requests_per_s], l.state);
    c.describe("Requests a second of the last ten minutes");
  }
  $("endpoints").replaceChildren(...v.endpoints.map((e) => f.el("div", { class: "card" },
    f.el("h2", {}, e.name, " ", e.workers ? f.el("span", { class: "tag good" }, e.workers === 1 ? "1 worker" : e.workers + " workers") : f.el("span", { class: "tag bad" }, "waits")),
    f.el("div", { class: "pair" },
      f.el("div", { class: "rows" }, ...rowsOf("Answered", e.answered, e.requests), ...rowsOf("No answer", e.dropped, e.requests, true)),
      f.el("div", { class: "rows" }, ...rowsOf("Receive timestamps", e.receive_stamps, e.requests),
        f.el("h3", {}, `Transmit timestamps: ${e.transmit_early.count ? `early by ${f.ns(e.transmit_early.mean_ns)} (mean of ${f.count(e.transmit_early.count)})` : "none early"}, ${e.transmit_late.count ? `late by ${f.ns(e.transmit_late.mean_ns)} (mean of ${f.count(e.transmit_late.count)})` : "none late"}${e.transmit_latency_ns ? `; ${f.ns(e.transmit_latency_ns)} from the clock to the wire` : ""}`))))));
  $("clients-card").hidden = !v.clients;
  if (v.clients) {
    $("clients-line").textContent = v.clients.networks === 1 ? "One network was answered lately." : `${f.count(v.clients.networks)} networks were answered lately.`;
    f.table($("clients-table"), [["Network"], ["Requests", 1], ["Authenticated", 1], ["Since", 1], ["Last", 1]],
      v.clients.list.map((c) => [c.prefix, f.count(c.requests), f.count(c.authenticated), f.span(c.for_s) + " ago", f.span(c.age_s) + " ago"]));
  }
  const ke = v.nts_ke;
  $("ke").replaceChildren(...(ke ? [f.el("p", {}, (ke.open === 1 ? "One connection is open." : `${ke.open} connections are open.`) + (Object.keys(ke.results).length ? "" : " There was none so far.")), f.el("div", { class: "rows" }, ...rowsOf("Connections by result", ke.results, Object.values(ke.results).reduce((a, b) => a + b, 0)))] : [f.el("p", { class: "empty" }, "NTS key establishment is off.")]));
  $("certs").replaceChildren(expiryTable(expiries(u).filter((x) => x.server)));
};

// --- health -----------------------------------------------------------------------------

const DAY = 86400;

// expiries lists what ends some day. soon is the time left, s, from which a person should
// look: tables and certificates are usually replaced before. ntsserve itself replaces the
// secret of cookie keys, so only an overdue one is shown as wrong. system says that the
// time left is by the system's clock.
function expiries(u) {
  const out = [];
  const certificate = (title, c, server) => {
    const life = c.not_before ? (Date.parse(c.not_after) - Date.parse(c.not_before)) / 1e3 : Infinity;
    out.push({ what: title + c.names.join(", "), when: c.not_after, bad: c.alarm, soon: Math.min(28 * DAY, life / 4), server, system: true });
  };
  for (const c of u.server?.certificates || []) certificate("certificate ", c, true);
  for (const c of u.page_certificates || []) certificate("certificate of this page ", c, false);
  const k = u.server?.cookie_keys;
  if (k && !k.keys) out.push({ what: "cookie keys: none, their file cannot be used", bad: true, soon: 0, server: true });
  else if (k) out.push({ what: `cookie keys: ${k.keys} are accepted, secret since ${k.since.slice(0, 10)}`, when: k.until, bad: k.overdue, soon: 0, ended: "overdue", server: true, system: true });
  const l = u.status?.leap_sources;
  for (const s of l?.sources || []) if (s.expires) out.push({ what: "leap seconds: " + s.source, when: s.expires, bad: s.expired, soon: 28 * DAY });
  return out;
}

function expiryTable(list, into) {
  const t = into || f.el("table");
  const clock = page.last?.sample.t?.[0] || Date.now() / 1e3;
  f.table(t, [["What"], ["Until"], ["Left", 1]], list.map((x) => {
    const left = x.when ? Date.parse(x.when) / 1e3 - (x.system ? Date.now() / 1e3 : clock) : null;
    const state = x.bad || left !== null && left < 0 ? "bad" : left !== null && left < x.soon ? "warn" : "good";
    return [x.what, f.el("span", { class: "nowrap" }, x.when ? x.when.slice(0, 10) : "no schedule"), left === null ? "–" : f.el("span", { class: "tag " + state }, left < 0 ? x.ended || "expired" : left < 10 * DAY ? f.span(left) : Math.floor(left / DAY) + " d")];
  }));
  return t;
}

page.views.health = (u) => {
  expiryTable(expiries(u), $("expiry"));
  const l = u.status?.leap_sources;
  if (l) {
    f.facts($("leap"), [
      ["TAI−UTC", ["locked", "holdover"].includes(u.status.state) ? u.status.tai_offset_s + " s" : "not known yet"], ["Decided by", l.by || "no source is in date"], ["Next", l.next ? `${l.sign > 0 ? "inserted" : "deleted"} before ${l.next}` : "none ahead"],
      ["Confirmed by", l.confirmed_by], ["Warnings", l.warnings.length ? f.el("span", { class: "tag warn" }, l.warnings.map(f.words).join(", ")) : "none"],
    ]);
    f.table($("leap-table"), [["Source"], ["TAI−UTC", 1], ["Valid until"]], l.sources.map((s) => [s.source, s.tai_offset_s === null ? "–" : s.tai_offset_s + " s", s.expires ? f.el("span", {}, f.el("span", { class: "nowrap" }, s.expires), s.expired ? ", expired" : null) : "–"]));
  }
};

async function examine() {
  try {
    const d = await getJSON("/api/v1/doctor");
    const order = { fail: 0, warn: 1, ok: 2 };
    d.findings.sort((a, b) => order[a.level] - order[b.level]);
    f.table($("findings"), [["Result"], ["Part"], ["Finding"]], d.findings.map((x) => [
      f.el("span", { class: "tag " + x.level }, { ok: "good", warn: "look at it", fail: "wrong" }[x.level]), x.check,
      f.el("span", {}, x.what, x.mend ? f.el("span", { class: "remedy-cell" }, "→ " + x.mend) : null)]));
    page.findings = d.findings.filter((x) => x.level !== "ok" && !["snapshot", "state", "counters"].includes(x.check)).map((x) => ({ what: x.what, remedy: x.mend || "", level: x.level }));
  } catch { /* the stream shows that there is no connection */ }
}

// Tables that scroll can be reached by the keyboard.
document.querySelectorAll(".scroll").forEach((e) => {
  e.tabIndex = 0;
  e.setAttribute("role", "group");
  e.setAttribute("aria-label", (e.closest(".card, figure")?.querySelector("h2, summary")?.textContent || "Table") + ", table");
});

// --- views -------------------------------------------------------------------------------

function show() {
  const want = location.hash.slice(1) || "now";
  shown = document.querySelector(`.view#${CSS.escape(want)}`) ? want : "now";
  document.querySelectorAll(".view").forEach((v) => { v.hidden = v.id !== shown; });
  document.querySelectorAll("nav a").forEach((a) => {
    if (a.hash === "#" + shown) {
      a.setAttribute("aria-current", "page");
      a.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else a.removeAttribute("aria-current");
  });
  page.shown = shown;
  page.opened?.[shown]?.();
  draw();
}
addEventListener("hashchange", () => { show(); $("main").focus({ preventScroll: true }); scrollTo(0, 0); });

page.get = get;
page.opened = { history: setUpHistory(page), stability: setUpStability(page), fleet: setUpFleet(page) };
tick();
start().then(() => {}, (e) => page.errors.push(String(e)));
const look = () => { if (!document.hidden && $("login").hidden) examine(); };
look();
setInterval(look, 60000);
