// The satellites in view: where they are, and how strong they are.
import { el, svg, table } from "/format.js";

const known = ["GPS", "Galileo", "BeiDou", "GLONASS"];
const letter = { GPS: "G", Galileo: "E", BeiDou: "C", GLONASS: "R", SBAS: "S", QZSS: "J", NavIC: "I", IMES: "Q" };
const kind = (s) => "s-" + (known.includes(s.system) ? s.system.toLowerCase() : "other");
const name = (s) => (letter[s.system] || "?") + String(s.id).padStart(2, "0");

// plot draws the sky: the zenith in the middle, the horizon outside, north up.
export function plot(element, sky, labels) {
  const R = 130, g = svg("svg", { viewBox: "-150 -150 300 300", role: "img", "aria-label": describe(sky) });
  for (const e of [0, 30, 60]) g.append(svg("circle", { class: "ring", r: R * (90 - e) / 90 }));
  g.append(svg("path", { class: "ring", d: `M-${R} 0H${R}M0 -${R}V${R}` }));
  for (const [t, x, y] of [["N", 0, -R - 6], ["E", R + 8, 3], ["S", 0, R + 13], ["W", -R - 8, 3]]) {
    const c = svg("text", { x, y, "text-anchor": "middle" });
    c.append(t);
    g.append(c);
  }
  const seen = sky.filter((s) => s.elevation !== null && s.azimuth !== null && s.elevation >= 0).sort((a, b) => a.used - b.used);
  for (const s of seen) {
    const r = R * (90 - s.elevation) / 90, a = s.azimuth * Math.PI / 180;
    const x = (r * Math.sin(a)).toFixed(1), y = (-r * Math.cos(a)).toFixed(1);
    const size = labels ? 9.5 : 3 + Math.max(0, s.cn0 - 20) / 8;
    const c = svg("circle", { class: `sat ${kind(s)}${s.used ? " used" : ""}`, cx: x, cy: y, r: size.toFixed(1) });
    const t = svg("title");
    t.append(`${s.system} ${s.id}: elevation ${s.elevation}°, azimuth ${s.azimuth}°, ${s.cn0 ? s.cn0 + " dB-Hz" : "not tracked"}${s.used ? ", in use" : ""}`);
    c.append(t);
    g.append(c);
    if (labels) {
      const l = svg("text", { class: "label" + (s.used ? " used" : ""), x, y: (+y + 2.8).toFixed(1) });
      l.append(name(s));
      g.append(l);
    }
  }
  element.replaceChildren(g);
}

// bars draws the signal strengths.
export function bars(element, sky) {
  const list = sky.filter((s) => s.cn0 > 0);
  if (!list.length) {
    element.replaceChildren(el("p", { class: "empty" }, sky.length ? "No satellite is tracked." : "The receiver lists no satellites."));
    return;
  }
  const step = 22, left = 30, w = Math.max(left + list.length * step + 6, 380), h = 290, base = 250, scale = (v) => Math.max(0, Math.min(v, 55)) * 4.4;
  const g = svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": "Signal strengths. " + describe(sky) });
  for (const v of [0, 20, 30, 40, 50]) {
    const y = base - scale(v);
    g.append(svg("line", { class: "grid", x1: left, x2: w, y1: y, y2: y }));
    const t = svg("text", { x: left - 6, y: y + 3, "text-anchor": "end" });
    t.append(v);
    g.append(t);
  }
  list.forEach((s, i) => {
    const x = left + 4 + i * step, y = base - scale(s.cn0);
    g.append(svg("rect", { class: `bar ${kind(s)}${s.used ? " used" : ""}`, x, y, width: step - 8, height: base - y, rx: 2 }));
    const v = svg("text", { x: x + (step - 8) / 2, y: y - 4, "text-anchor": "middle" });
    v.append(s.cn0);
    const l = svg("text", { transform: `translate(${x + (step - 8) / 2 + 3.5} ${base + 30}) rotate(-90)` });
    l.append(name(s));
    g.append(v, l);
  });
  element.replaceChildren(g);
}

// describe says what is in view.
export function describe(sky) {
  if (!sky.length) return "No satellites are listed.";
  const by = systems(sky).map(([s, n, used]) => `${s} ${used} of ${n}`);
  return `${sky.filter((s) => s.used).length} of ${sky.length} satellites in use: ${by.join(", ")}.`;
}

function systems(sky) {
  const m = new Map();
  for (const s of sky) {
    const x = m.get(s.system) || [s.system, 0, 0];
    x[1]++;
    x[2] += s.used;
    m.set(s.system, x);
  }
  return [...m.values()];
}

export function legend(list, sky) {
  list.replaceChildren(...systems(sky).map(([s, n, used]) => el("li", { class: kind({ system: s }) }, `${s} ${used}/${n}`)));
}

export function satellites(t, sky) {
  table(t, [["Satellite"], ["System"], ["Elevation", 1], ["Azimuth", 1], ["C/N0", 1], ["In use"]],
    sky.map((s) => [name(s), s.system, s.elevation === null ? "–" : s.elevation + "°", s.azimuth === null ? "–" : s.azimuth + "°", s.cn0 ? s.cn0 + " dB-Hz" : "–", s.used ? "yes" : "no"]));
}
