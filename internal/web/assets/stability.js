// Deviations of a chosen window, with masks and downloads.
import * as f from "/format.js";
import { Chart } from "/chart.js";

const $ = (id) => document.getElementById(id);
const windows = [["10 minutes", 600], ["Hour", 3600], ["6 hours", 21600], ["Day", 86400]];
const tau = (x) => f.span(x);
const seconds = (x) => x >= 1e4 ? "10" + [..."⁰¹²³⁴⁵⁶⁷⁸⁹"][Math.round(Math.log10(x))] + " s" : x + " s";
const power = (x) => { const e = Math.floor(Math.log10(x) + 1e-9); return +(x / 10 ** e).toPrecision(3) + "e" + e; };

export function setUp(page) {
  let length = 600, column = "offset_ns", turn = 0;
  const buttons = windows.map(([name, seconds]) => {
    const b = f.el("button", { type: "button" }, name);
    b.addEventListener("click", () => { length = seconds; load(); });
    return b;
  });
  const choice = f.el("select", { id: "stability-column" }, f.el("option", { value: "offset_ns" }, "clock against its receiver"));
  choice.addEventListener("change", () => { column = choice.value; load(); });
  const downloads = [["CSV", "csv"], ["Stable32", "stable32"]].map(([name, format]) => {
    const b = f.el("button", { type: "button" }, "Download " + name);
    b.addEventListener("click", () => download(format));
    return b;
  });
  $("stability-ranges").append(...buttons, f.el("label", { for: "stability-column" }, "Phase"), choice, f.el("span", { class: "gap" }), ...downloads);

  const span = () => {
    const now = page.live?.t.at(-1) || Date.now() / 1e3;
    return `from=${(now - length).toFixed(0)}&to=${now.toFixed(0)}&column=${encodeURIComponent(column)}`;
  };

  async function download(format) {
    const r = await page.get(`/api/v1/phase?${span()}&format=${format}`);
    if (!r.ok) return;
    const name = /filename="([^"]+)"/.exec(r.headers.get("Content-Disposition") || "")?.[1] || "phase.txt";
    const url = URL.createObjectURL(await r.blob());
    const a = f.el("a", { href: url, download: name });
    a.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  async function choices() {
    const now = page.live?.t.at(-1) || Date.now() / 1e3;
    try {
      const m = await page.getJSON(`/api/v1/history?from=${(now - 86400).toFixed(0)}&to=${now.toFixed(0)}&points=2`);
      const names = Object.keys(m.series).filter((n) => /^(witness|follower|compared_pulse)_ns:/.test(n)).sort();
      choice.replaceChildren(f.el("option", { value: "offset_ns" }, "clock against its receiver"), ...names.map((n) => f.el("option", { value: n }, f.words(n.replace("_ns:", " ")))));
      choice.value = names.includes(column) ? column : "offset_ns";
    } catch { /* load says why */ }
  }

  async function load() {
    const mine = ++turn;
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(windows[i][1] === length)));
    try {
      const d = await page.getJSON("/api/v1/stability?" + span());
      if (mine !== turn) return;
      $("stability-none").hidden = true;
      $("stability-body").hidden = false;
      draw(d);
    } catch (e) {
      if (mine !== turn) return;
      $("stability-none").hidden = false;
      $("stability-none").textContent = "Nothing to compute yet: " + e.message + ". Seconds are on the disc once a minute.";
      $("stability-body").hidden = true;
    }
    page.loads = (page.loads || 0) + 1;
  }

  function draw(d) {
    const t = d.points.map((p) => p.tau_s), of = (k) => d.points.map((p) => p[k] > 0 ? p[k] : null);
    const mask = (name, k) => d.masks.find((m) => m.name === name)?.[k] || t.map(() => null);
    const line = (label, stroke, dash) => ({ label, stroke, width: 1.8, dash, points: { show: !dash, size: 5 } });
    const td = page.charts.tdev ||= new Chart($("chart-tdev"), { logX: true, x: tau, tick: seconds, y: (x) => f.ns(x), series: [
      line("TDEV", "accent"), line("MTIE", "info"), line("TDEV of PRTC-A", "warn", [6, 4]), line("MTIE of PRTC-A", "warn", [2, 3]), line("TDEV of PRTC-B", "bad", [6, 4]), line("MTIE of PRTC-B", "bad", [2, 3])] });
    td.set([t, of("tdev_ns"), of("mtie_ns"), mask("prtc-a", "tdev_limit_ns"), mask("prtc-a", "mtie_limit_ns"), mask("prtc-b", "tdev_limit_ns"), mask("prtc-b", "mtie_limit_ns")]);
    const ad = page.charts.adev ||= new Chart($("chart-adev"), { logX: true, x: tau, tick: seconds, y: power, series: [line("ADEV", "accent"), line("MDEV", "info")] });
    ad.set([t, of("adev"), of("mdev")]);
    const range = t.length ? ` from ${tau(t[0])} to ${tau(t.at(-1))}` : "";
    td.describe("TDEV and MTIE with the masks of ITU-T G.8272" + range);
    ad.describe("ADEV and MDEV" + range);
    $("tdev-legend").replaceChildren(...[["l-tdev", "TDEV"], ["l-mtie", "MTIE"], ["l-a", "PRTC-A: TDEV dashed, MTIE dotted"], ["l-b", "PRTC-B, likewise"]].map(([c, x]) => f.el("li", { class: c }, x)));
    $("adev-legend").replaceChildren(...[["l-tdev", "ADEV"], ["l-mtie", "MDEV"]].map(([c, x]) => f.el("li", { class: c }, x)));
    const say = d.masks.map((m) => `${m.within ? "does not violate" : "violates"} ${m.name.toUpperCase()}`).join(", ");
    $("stability-line").textContent = `${f.count(d.data)} s from ${f.dateText(Date.parse(d.from) / 1e3)} UTC, ${f.count(d.gaps)} of them missing: ${say}.` +
      (d.column === "offset_ns" ? " This is the clock against the pulses of its own receiver: it can show that a mask is violated, and not that it is kept." : "");
    f.table($("deviations"), [["τ", 1], ["ADEV", 1], ["MDEV", 1], ["TDEV", 1], ["MTIE", 1]], d.points.map((p) => [tau(p.tau_s),
      p.adev === null ? "–" : p.adev.toExponential(2), p.mdev === null ? "–" : p.mdev.toExponential(2), p.tdev_ns === null ? "–" : f.ns(p.tdev_ns), p.mtie_ns === null ? "–" : f.ns(p.mtie_ns)]));
  }

  page.stability = { load };
  return () => { choices(); load(); };
}
