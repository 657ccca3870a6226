// All nodes of the fleet, as this one sees them.
import * as f from "/format.js";

const $ = (id) => document.getElementById(id);
const DAY = 86400, EVERY = 5; // s between two looks at the interface
const CARDS = 60; // more nodes are in the table only

const seconds = (stamp) => !stamp || stamp.startsWith("0001-") ? null : Date.parse(stamp) / 1e3;
const day = (t) => new Date(t * 1e3).toISOString().slice(0, 10);
const minute = (t) => new Date(t * 1e3).toISOString().slice(0, 16).replace("T", " ");
const tag = (level, text) => f.el("span", { class: "tag " + level }, text);

// levelOf is how a node is: good, warn or bad.
function levelOf(n) {
  if (!n.live || n.state !== "serves" && n.state !== "drained") return "bad";
  if (n.state === "drained" || n.drain || n.health && !n.health.announced) return "warn";
  return n.health?.kept || n.health && !n.health.healthy ? "warn" : "good";
}

// announced says whether the node is announced.
const announced = (n) => !n.health ? "not known" : n.health.kept ? "kept, as the last one" : n.health.announced ? "yes" : "no";

// why lists what is wrong with a node.
const why = (n) => [n.drain ? "drained: " + n.drain : "", n.live && !n.clock_trusted ? "clock not trusted" : "", ...(n.health?.reasons || [])].filter(Boolean).map(f.words);

const load = (h) => !h ? "–" : f.figure(h.load) + " /s";
const bound = (h) => !h || h.bound_ns === null ? "none" : "±" + f.ns(h.bound_ns);
const certificate = (n) => !n.certificate ? null : n.certificate.state + (n.certificate.not_after ? `, until ${day(n.certificate.not_after)}` : "");

function cards(v) {
  const rank = { bad: 0, warn: 1, good: 2 };
  const list = v.nodes.toSorted((a, b) => rank[levelOf(a)] - rank[levelOf(b)]).slice(0, CARDS);
  $("fleet-nodes").replaceChildren(...list.map((n) => {
    const dl = f.el("dl", { class: "facts" });
    f.facts(dl, [
      ["Announced", announced(n)], ["Clock", n.health?.clock || (n.live ? "not known" : "")], ["Bound", n.health ? bound(n.health) : null], ["Stratum", n.health ? String(n.health.stratum) : null],
      ["Requests", n.health ? load(n.health) : null], ["Roots", n.live ? `${n.holds} of ${v.roots.length}` : null],
      ["Certificate", certificate(n)], ["Configuration", n.configuration?.state], ["Why", why(n).join("; ")],
    ]);
    return f.el("li", { class: "card node", "data-level": levelOf(n) }, f.el("h3", {}, n.name, n.name === v.node ? " (this one) " : " ", tag(levelOf(n), n.state)), dl);
  }));
}

function nodeTable(v) {
  f.table($("fleet-table"), [["Node"], ["State"], ["Announced"], ["Bound", 1], ["Stratum", 1], ["Requests", 1], ["Roots", 1], ["Certificate"], ["Configuration"], ["Why"]],
    v.nodes.map((n) => [n.name, tag(levelOf(n), n.state), announced(n), bound(n.health), n.health ? String(n.health.stratum) : "–", load(n.health), n.live ? String(n.holds) : "–", certificate(n) || "–", n.configuration?.state || "–", why(n).join("; ")]));
}

const label = (text, attributes) => { const t = f.svg("text", attributes); t.append(text); return t; };

// bounds draws the bounds of all nodes on one axis of powers of ten, the largest first.
function bounds(v) {
  const list = v.nodes.filter((n) => n.health && n.health.bound_ns > 0).sort((a, b) => b.health.bound_ns - a.health.bound_ns).slice(0, CARDS);
  $("fleet-bounds-none").hidden = list.length > 0;
  if (!list.length) { $("fleet-bounds").replaceChildren(); return; }
  const left = 96, width = 320, row = 17, low = Math.floor(Math.log10(list.at(-1).health.bound_ns)), high = Math.max(low + 1, Math.ceil(Math.log10(list[0].health.bound_ns)));
  const at = (x) => left + width * (Math.log10(x) - low) / (high - low), end = list.length * row + 4;
  const g = f.svg("svg", { viewBox: `0 0 ${left + width + 24} ${end + 18}`, role: "img", "aria-label": "Error bounds. " + list.map((n) => `${n.name} ${f.ns(n.health.bound_ns)}`).join(", ") });
  for (let e = low; e <= high; e++) {
    g.append(f.svg("line", { class: "grid", x1: at(10 ** e), x2: at(10 ** e), y1: 0, y2: end }), label(f.tick(10 ** e), { x: at(10 ** e), y: end + 13, "text-anchor": "middle" }));
  }
  list.forEach((n, i) => {
    const y = i * row + 4, name = n.name.length > 14 ? n.name.slice(0, 13) + "…" : n.name;
    g.append(label(name, { x: left - 6, y: y + 10, "text-anchor": "end", class: "strong" }),
      f.svg("rect", { class: "bound " + levelOf(n), "data-node": n.name, x: left, y: y + 2, width: Math.max(2, at(n.health.bound_ns) - left), height: row - 7, rx: 3 }));
  });
  $("fleet-bounds").replaceChildren(g);
}

// roots draws when each root seals, and how long its cookies are opened after that.
function roots(v, now) {
  const list = v.roots.map((r) => ({ ...r, from: seconds(r.since), to: seconds(r.until), end: seconds(r.expires) })).filter((r) => r.from !== null);
  const waiting = v.roots.length - list.length;
  $("fleet-roots-line").textContent = `${list.length} in the schedule${waiting ? `, ${waiting} waiting for all nodes` : ""}. Filled: it seals new cookies. Outlined: its cookies are still opened.`;
  if (!list.length) { $("fleet-roots").replaceChildren(); return; }
  const left = 66, width = 350, row = 17, first = Math.min(now, ...list.map((r) => r.from)), last = Math.max(now, ...list.map((r) => r.end)), end = list.length * row + 4;
  const at = (t) => left + width * (t - first) / (last - first || 1);
  const span = last - first, text = span > 3 * DAY ? (t) => day(t).slice(5) : (t) => minute(t).slice(11);
  const g = f.svg("svg", { viewBox: `0 0 ${left + width + 24} ${end + 30}`, role: "img", "aria-label": "Schedule of root secrets. " + list.map((r) => `${r.id.slice(0, 6)} ${r.state}, seals from ${minute(r.from)} to ${minute(r.to)}, ${r.holders} of ${v.nodes.length} nodes hold it`).join("; ") });
  list.forEach((r, i) => {
    const y = i * row + 4;
    g.append(label(r.id.slice(0, 6), { x: left - 6, y: y + 10, "text-anchor": "end" }),
      f.svg("rect", { class: "opens", x: at(r.from), y: y + 2, width: Math.max(2, at(r.end) - at(r.from)), height: row - 7, rx: 3 }),
      f.svg("rect", { class: "seals " + r.state, "data-root": r.id, x: at(r.from), y: y + 2, width: Math.max(2, at(r.to) - at(r.from)), height: row - 7, rx: 3 }));
  });
  const near = (t) => Math.abs(at(t) - at(now)) < 44;
  g.append(f.svg("line", { class: "now", x1: at(now), x2: at(now), y1: 0, y2: end }), label("now", { x: at(now), y: end + 13, "text-anchor": "middle", class: "strong" }));
  for (const t of [first, last]) if (!near(t)) g.append(label(text(t), { x: at(t), y: end + 13, "text-anchor": "middle" }));
  $("fleet-roots").replaceChildren(g);
}

function rootTable(v) {
  f.table($("fleet-root-table"), [["Root"], ["State"], ["Seals from"], ["Until"], ["Held by", 1]],
    v.roots.map((r) => [f.el("code", {}, r.id.slice(0, 12)), r.state, seconds(r.since) ? minute(seconds(r.since)) : "not planned yet", seconds(r.until) ? minute(seconds(r.until)) : "–", v.read_age_s === null ? "–" : `${r.holders} of ${v.nodes.length}`]));
}

// sentence says how the fleet is, and how old that is.
function sentence(v) {
  if (v.read_age_s === null) return v.etcd_error ? "etcd does not answer. This node knows the schedule of root secrets only." : "The nodes are being read.";
  return `${v.serving} of ${v.nodes.length + v.omitted} nodes serve. ${v.planner ? `${v.planner} plans for all.` : "No node plans now."}`;
}

// notes are what to know of the view itself and of this node.
function notes(v) {
  const s = v.self;
  return [
    v.stopped ? `The agent of this node does not run: it wrote this ${f.span(v.age_s)} ago. Run: systemctl start noonmark-fleet` : "",
    v.etcd_error ? "etcd does not answer: " + v.etcd_error : "",
    s.why ? `This node ${s.why}` + (s.drain ? ` (${s.drain})` : "") : "", s.clock_error, s.disc_error ? "Not written: " + s.disc_error : "", s.config_error, s.refused ? "Configuration refused: " + s.refused : "", s.cert_error,
    v.rotation ? "New roots were ordered. " + (v.rotation.waits.length ? "They wait: " + v.rotation.waits.map((w) => `node ${w.node} ${w.why}`).join("; ") : "No node is missing.") : "",
    v.omitted ? `${v.omitted} more nodes are not shown.` : "",
  ].filter(Boolean);
}

export function setUp(page) {
  let last = 0, busy = false, missing = "";

  async function look() {
    if (!page.last || busy) return; // the stream says whether there is a fleet
    last = performance.now();
    const here = page.last.fleet;
    if (here?.state) {
      busy = true;
      try {
        page.fleet = await page.getJSON("/api/v1/fleet");
      } catch (e) {
        page.fleet = null;
        missing = e.message;
      }
      busy = false;
    } else {
      page.fleet = null;
      missing = here?.why || "This machine is in no fleet, or its agent was not started yet.";
    }
    draw();
  }

  function draw() {
    const v = page.fleet, now = page.last?.sample.t?.[0] || Date.now() / 1e3;
    $("fleet-none").hidden = !!v;
    $("fleet-body").hidden = !v;
    if (!v) { $("fleet-none").textContent = missing || "The fleet is being read."; return; }
    $("fleet-sentence").textContent = `Fleet ${v.fleet}, seen from ${v.node}. ${sentence(v)}`;
    const list = notes(v);
    $("fleet-notes").hidden = !list.length;
    $("fleet-notes").replaceChildren(...list.map((x) => f.el("li", {}, x)));
    const shown = v.nodes.filter((n) => n.health), max = Math.max(-1, ...shown.map((n) => n.health.bound_ns ?? -1)), o = v.certificate, ends = o && seconds(o.expires), without = seconds(v.without);
    f.tiles($("fleet-tiles"), [
      ["Serve", v.read_age_s === null ? "–" : `${v.serving} of ${v.nodes.length + v.omitted}`, v.read_age_s === null ? "" : `read ${f.span(v.read_age_s)} ago`],
      ["Announced", shown.length ? String(shown.filter((n) => n.health.announced).length) : "–", "nodes"],
      ["Largest bound", max < 0 ? "none" : "±" + f.ns(max), "of all nodes"],
      ["Requests", shown.length ? f.figure(shown.reduce((sum, n) => sum + n.health.load, 0)) + " /s" : "–", "of all nodes"],
      ["Without etcd", without ? f.span(Math.max(0, without - now)) : "–", without ? `until ${day(without)}` : "no schedule yet"],
      ["Certificate", !o ? "none" : ends ? Math.floor((ends - now) / DAY) + " d" : "none yet", !o ? "of the fleet" : o.failures ? `${o.failures} orders have failed: ${o.why}` : o.names.join(", ")],
    ]);
    cards(v);
    nodeTable(v);
    bounds(v);
    roots(v, now);
    rootTable(v);
    const r = v.rollout;
    $("fleet-rollout").textContent = !r ? "" : r.number === 0 ? "No configuration was applied yet." : `Configuration ${r.number}: ${r.phase}${r.why ? `, ${r.why}` : ""}.`;
  }

  page.views.fleet = (u) => { if (performance.now() - last > (page.fleet || !u.fleet?.state ? EVERY * 1e3 : 900)) look(); };
  return look;
}
