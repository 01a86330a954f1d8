// Charts of a domain over time: scores and p-values with states, incidents and gaps; and a heat map of features.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import type { Counts, CountsRow } from "./api";
import { canvas, h, hatch, ink, text } from "./dom";
import { clock, count, day, look, seen, tail } from "./words";

/** Step is a unit or a minute, as charts draw it. Times are seconds since 1970. */
export interface Step { at: number; length: number; state?: string; reason?: string; score?: number; p?: number; unusual: boolean; hits?: number; lost?: number }

/** Mark is an incident, or a closer look. */
export interface Mark { from: number; to: number; open: boolean; text: string; look?: boolean }

/** Lane is what one of the charts shows: p-values, scores, or what a closer look has counted. */
export type Lane = "tails" | "score" | "hits";
export interface Span { from: number; to: number }

const axisFont = "11px system-ui, sans-serif";

function times(_u: uPlot, splits: number[], _axis: number, _space: number, incr: number): string[] {
  let last = "";
  return splits.map((s) => {
    const t = new Date(s * 1000);
    const today = day(t);
    const label = clock(t, incr < 60);
    const newDay = last !== "" && last !== today;
    last = today;
    return newDay ? label + "\n" + today.slice(5) : label;
  });
}

export class Charts {
  readonly element: HTMLElement;
  private readonly plots: uPlot[] = [];
  private readonly holders: HTMLElement[] = [];
  private readonly captions: HTMLElement[] = [];
  private steps: Step[] = [];
  private marks: Mark[] = [];
  private level = 0;
  private selected: Span | undefined;
  private readonly readout = h("p", { class: "readout", "aria-live": "off" });
  private readonly watch: ResizeObserver;

  /** Where onSelect is missing, no span can be chosen. Charts of one group share their cursor. */
  constructor(private readonly onSelect?: (s: Span) => void, private readonly lanes: Lane[] = ["tails", "score"], private readonly group = "domain") {
    for (let i = 0; i < lanes.length; i++) {
      this.holders.push(h("div", { class: "plot" }));
      this.captions.push(h("figcaption", null));
    }
    this.element = h("div", { class: "charts" }, this.holders.map((p, i) => h("figure", null, this.captions[i] ?? "", p)), this.readout);
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(this.element);
  }

  /** what says what is counted, where there is a lane for hits. */
  show(steps: Step[], marks: Mark[], level: number, what = ""): void {
    this.steps = steps;
    this.marks = marks;
    this.level = level;
    const each = (steps[0]?.length ?? 0) > 10 ? "the lowest of each minute" : "of each unit";
    const captions: Record<Lane, string> = {
      tails: `p-value, ${each}: the higher in the chart, the less probable`, score: `Score, ${each}: below 0 lies outside of what was learnt`, hits: `Hits ${each}: ${what}`,
    };
    this.captions.forEach((c, i) => text(c, captions[this.lanes[i] ?? "score"]));
    const data = this.data();
    if (this.plots.length === 0) this.build(data);
    else this.plots.forEach((p, i) => p.setData(data[i] as uPlot.AlignedData));
  }

  select(s: Span | undefined): void {
    this.selected = s;
    for (const p of this.plots) p.redraw(false);
  }

  /** repaint makes the charts anew, in other colours. */
  repaint(): void {
    for (const p of this.plots.splice(0)) p.destroy();
    this.build(this.data());
  }

  close(): void {
    this.watch.disconnect();
    for (const p of this.plots.splice(0)) p.destroy();
  }

  private data(): uPlot.AlignedData[] {
    const at = this.steps.map((s) => s.at);
    const of: Record<Lane, (s: Step) => number | null> = {
      tails: (s) => (s.p === undefined ? null : -Math.log10(Math.max(s.p, 1e-9))), score: (s) => s.score ?? null, hits: (s) => s.hits ?? null,
    };
    return this.lanes.map((lane) => [at, this.steps.map(of[lane]), this.steps.map((s) => (s.unusual && lane !== "hits" ? of[lane](s) : null))] as uPlot.AlignedData);
  }

  private size(): { width: number; height: number } {
    return { width: Math.max(280, this.element.clientWidth), height: this.group === "domain" ? 190 : 150 };
  }

  private resize(): void {
    for (const p of this.plots) if (p.width !== this.size().width) p.setSize(this.size());
  }

  private build(data: uPlot.AlignedData[]): void {
    this.holders.forEach((holder, i) => this.plots.push(new uPlot(this.options(this.lanes[i] ?? "score"), data[i] as uPlot.AlignedData, holder)));
  }

  private options(lane: Lane): uPlot.Options {
    const tails = lane === "tails";
    const hits = lane === "hits";
    const line = ink("chart");
    const axis = { stroke: ink("dim"), font: axisFont, grid: { stroke: ink("line"), width: 1 }, ticks: { stroke: ink("line"), width: 1, size: 4 } };
    return {
      ...this.size(),
      legend: { show: false },
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: this.onSelect !== undefined, y: false, setScale: false }, sync: { key: this.group }, points: { size: 6 } },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: true },
        y: {
          range: hits
            ? (_u, _low, high) => [0, Math.max(1, (high ?? 0) * 1.25)]
            : tails
            ? (_u, _low, high) => [0, Math.max(3.2, (high ?? 0) * 1.08)]
            : (_u, low, high) => { const span = Math.max(0.2, (high ?? 0) - (low ?? 0)); return [Math.min(-0.1, (low ?? 0) - 0.08 * span), Math.max(0.1, (high ?? 0) + 0.08 * span)]; },
        },
      },
      axes: [
        { ...axis, values: times, space: 70, size: 34 },
        tails
          ? { ...axis, size: 56, splits: (u) => Array.from({ length: Math.floor(u.scales.y?.max ?? 3) + 1 }, (_x, k) => k), values: (_u, splits) => splits.map((v) => (v === 0 ? "1" : v <= 3 ? (10 ** -v).toFixed(v) : "1e-" + v)) }
          : { ...axis, size: 56, ...(hits ? { values: (_u: uPlot, splits: number[]) => splits.map((v) => (Number.isInteger(v) ? count(v) : "")) } : {}) },
      ],
      series: [
        {},
        {
          stroke: line, width: 1.4, points: { show: false }, spanGaps: false, fill: hits ? ink("chart-bar") : tails ? ink("chart-fill") : undefined,
          ...(hits && uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [1, 1000], align: 1 }) } : {}),
        },
        { stroke: ink("anomalous"), width: 0, paths: () => null, points: { show: true, size: 6, width: 1.5, stroke: ink("anomalous"), fill: ink("paper") } },
      ],
      hooks: {
        drawClear: [(u) => this.ground(u, lane)],
        draw: [(u) => this.over(u, lane)],
        setCursor: [(u) => this.tell(u)],
        setSelect: [(u) => {
          if (u.select.width < 3) return;
          const span = { from: u.posToVal(u.select.left, "x"), to: u.posToVal(u.select.left + u.select.width, "x") };
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          this.onSelect?.(span);
        }],
      },
    };
  }

  // ground draws what lies behind the lines: times that were not scored, hatched, but where hits are shown; those of suspicion and alarm, shaded.
  private ground(u: uPlot, lane: Lane): void {
    const { left, top, height } = u.bbox;
    const ratio = window.devicePixelRatio || 1;
    const g = u.ctx;
    g.save();
    g.beginPath();
    g.rect(left, top, u.bbox.width, height);
    g.clip();
    for (const run of runs(this.steps)) {
      const x = u.valToPos(run.from, "x", true);
      const w = Math.max(ratio, u.valToPos(run.to, "x", true) - x);
      if (run.blank && lane !== "hits") {
        g.fillStyle = ink("gap");
        g.fillRect(x, top, w, height);
        hatch(g, x, top, w, height, ink(run.state === undefined ? "line" : look(run.state).ink), 8 * ratio);
      } else if (run.state === "anomalous" || run.state === "suspect") {
        g.fillStyle = ink(run.state + "-wash");
        g.fillRect(x, top, w, height);
      }
      // The strip at the foot says the state, whatever stands above it.
      g.fillStyle = run.state === undefined ? ink("line") : ink(look(run.state).ink);
      const strip = (run.state === "anomalous" ? 7 : run.state === "suspect" ? 5 : 3) * ratio;
      g.fillRect(x, top + height - strip, w, strip);
    }
    g.restore();
  }

  // over draws what lies before the lines: incidents, the level, the chosen span.
  private over(u: uPlot, lane: Lane): void {
    const { left, top, width, height } = u.bbox;
    const ratio = window.devicePixelRatio || 1;
    const g = u.ctx;
    g.save();
    g.beginPath();
    g.rect(left, top, width, height);
    g.clip();
    g.lineWidth = 1.5 * ratio;
    for (const m of this.marks) {
      const x = u.valToPos(m.from, "x", true);
      const to = u.valToPos(m.to, "x", true);
      if (m.look) {
        // A bar below the incidents, and the span washed: it may be a hair's breadth of a day.
        const w = Math.max(4 * ratio, to - x);
        g.fillStyle = ink("pick");
        if (lane !== "hits") g.fillRect(x, top, w, height);
        g.fillStyle = ink("accent");
        g.fillRect(x, top + 11 * ratio, w, 4 * ratio);
        continue;
      }
      g.strokeStyle = g.fillStyle = ink("anomalous");
      g.beginPath();
      g.moveTo(x, top + 8 * ratio);
      g.lineTo(x, top + 2 * ratio);
      g.lineTo(Math.max(to, x + 2 * ratio), top + 2 * ratio);
      if (!m.open) g.lineTo(Math.max(to, x + 2 * ratio), top + 8 * ratio);
      g.stroke();
    }
    const at = lane === "tails" ? (this.level > 0 ? -Math.log10(this.level) : undefined) : lane === "score" ? 0 : undefined;
    if (at !== undefined) {
      const y = u.valToPos(at, "y", true);
      g.setLineDash([5 * ratio, 4 * ratio]);
      g.lineWidth = ratio;
      g.strokeStyle = ink("ink");
      g.beginPath();
      g.moveTo(left, y);
      g.lineTo(left + width, y);
      g.stroke();
      g.setLineDash([]);
    }
    if (this.selected) {
      const x = u.valToPos(this.selected.from, "x", true);
      const w = u.valToPos(this.selected.to, "x", true) - x;
      g.fillStyle = ink("pick");
      g.fillRect(x, top, w, height);
      g.strokeStyle = ink("accent");
      g.strokeRect(x, top, w, height);
    }
    g.restore();
  }

  private tell(u: uPlot): void {
    const s = u.cursor.idx === null || u.cursor.idx === undefined ? undefined : this.steps[u.cursor.idx];
    this.readout.textContent = s === undefined ? "Point at a chart to read it" + (this.onSelect ? "; drag to choose a span." : ".") : [words(s), ...this.marks.filter((m) => m.look && m.from < s.at + s.length && m.to > s.at).map((m) => m.text)].join(" · ");
  }
}

function words(s: Step): string {
  const t = new Date(s.at * 1000);
  const figures = s.p === undefined || s.score === undefined ? "not scored" + (s.reason ? ": " + s.reason : "") : `score ${s.score.toFixed(3)}, p-value ${tail(s.p)}${s.unusual ? " (unusual)" : ""}`;
  const hits = s.hits === undefined ? "" : ` · ${s.hits} hits${s.lost ? `, at most ${s.lost} events lost` : ""}`;
  return `${day(t)} ${clock(t)} · ${s.state ?? "nothing is known"} · ${figures}${hits}`;
}

interface Run { from: number; to: number; state?: string; blank: boolean }

// runs joins steps alike.
function runs(steps: Step[]): Run[] {
  const list: Run[] = [];
  for (const s of steps) {
    const blank = s.p === undefined;
    const last = list[list.length - 1];
    const to = s.at + s.length;
    if (last && last.state === s.state && last.blank === blank && s.at - last.to < s.length) last.to = to;
    else list.push({ from: s.at, to, state: s.state, blank });
  }
  return list;
}

/** gaps says for how long what was not scored, and why: seconds by words. */
export function gaps(steps: Step[]): Map<string, number> {
  const all = new Map<string, number>();
  for (const s of steps) {
    if (s.p !== undefined) continue;
    const why = s.state === undefined ? "not observed (virtsentryd did not run, or was not attached)" : s.reason ?? (seen(s.state) ? "no unit came" : s.state);
    all.set(why, (all.get(why) ?? 0) + s.length);
  }
  return all;
}

/** far is how far a count lies out of the usual range, in widths of that range: 0 within. */
export function far(row: CountsRow, value: number): number {
  const width = Math.max(row.high - row.low, 0.25 * Math.abs(row.typical), 1);
  if (value > row.high) return (value - row.high) / width;
  if (value < row.low) return (value - row.low) / width;
  return 0;
}

const cellHeight = 15;
const label = 230;

/** Heat is the map of features over time: what is more than usual is warm, what is less is cold, and what was not counted is hatched. */
export class Heat {
  readonly element: HTMLElement;
  private readonly map = h("canvas", { class: "heat", role: "img", tabindex: "0" });
  private readonly readout = h("p", { class: "readout" }, "Point at the map to read it. The most unusual features come first.");
  private counts: Counts | undefined;
  private rows: CountsRow[] = [];
  private readonly watch: ResizeObserver;

  constructor(private readonly most: () => number) {
    this.element = h("div", { class: "heatmap" }, this.map, this.readout);
    this.map.addEventListener("mousemove", (e) => this.tell(e.offsetX, e.offsetY));
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.element);
  }

  close(): void { this.watch.disconnect(); }

  show(c: Counts): void {
    this.counts = c;
    const score = (r: CountsRow): number => (c.profile ? r.values.reduce((a, v, i) => ((c.units?.[i] ?? 0) > 0 ? Math.max(a, Math.abs(far(r, v))) : a), 0) : 0);
    const ranked = (c.rows ?? []).map((r) => ({ r, s: score(r), mean: r.mean }));
    ranked.sort((a, b) => b.s - a.s || b.mean - a.mean);
    this.rows = ranked.slice(0, this.most()).map((x) => x.r);
    this.draw();
  }

  draw(): void {
    const c = this.counts;
    const columns = c?.units ?? [];
    const width = Math.max(320, this.element.clientWidth);
    const names = Math.min(label, width * 0.4);
    const height = this.rows.length * cellHeight + 20;
    const g = canvas(this.map, width, height);
    if (!g || !c) return;
    const step = (width - names) / Math.max(1, columns.length);
    g.font = axisFont;
    g.textBaseline = "middle";
    this.rows.forEach((r, y) => {
      const most = Math.max(...r.values, 1e-9);
      g.fillStyle = ink("ink");
      g.textAlign = "right";
      g.fillText(fit(g, r.feature, names - 10), names - 6, y * cellHeight + cellHeight / 2);
      columns.forEach((units, x) => {
        if (units === 0) return;
        const v = r.values[x] ?? 0;
        g.fillStyle = c.profile ? warmth(far(r, v)) : mix(ink("heat-none"), ink("heat-more"), v / most);
        g.fillRect(names + x * step, y * cellHeight, Math.ceil(step), cellHeight - 1);
      });
    });
    const tall = this.rows.length * cellHeight;
    for (let x = 0; x < columns.length; x++) {
      if (columns[x] === 0) hatch(g, names + x * step, 0, Math.ceil(step), tall, ink("blind"), 8);
    }
    this.axis(g, c, names, width, tall);
    this.map.setAttribute("aria-label", `Counts of ${this.rows.length} features over time. Most out of the usual: ${this.rows.slice(0, 3).map((r) => r.feature).join(", ")}.`);
  }

  private axis(g: CanvasRenderingContext2D, c: Counts, names: number, width: number, y: number): void {
    const from = Date.parse(c.start) / 1000;
    const span = c.step_seconds * (c.units?.length ?? 0);
    const every = [60, 120, 300, 600, 900, 1800].find((e) => (span / e) * 60 < width - names) ?? 3600;
    g.fillStyle = ink("dim");
    g.textAlign = "center";
    for (let t = Math.ceil(from / every) * every; t < from + span; t += every) {
      const x = names + ((t - from) / span) * (width - names);
      g.fillRect(x, y, 1, 4);
      if (x > names + 12 && x < width - 14) g.fillText(clock(new Date(t * 1000), false), x, y + 12);
    }
  }

  private tell(x: number, y: number): void {
    const c = this.counts;
    const width = this.map.clientWidth;
    const names = Math.min(label, width * 0.4);
    const r = this.rows[Math.floor(y / cellHeight)];
    const columns = c?.units ?? [];
    const i = Math.floor(((x - names) / (width - names)) * columns.length);
    if (!c || !r || i < 0 || i >= columns.length) return;
    const t = new Date(Date.parse(c.start) + i * c.step_seconds * 1000);
    const v = r.values[i] ?? 0;
    const usual = c.profile ? `; usually ${count(r.low)} to ${count(r.high)}` : "";
    this.readout.textContent = `${clock(t)} · ${r.feature} (${r.words || r.subsystem}) · ${columns[i] === 0 ? "not counted: events were lost, or nothing was observed" : count(v) + " a unit" + usual}`;
  }
}

function fit(g: CanvasRenderingContext2D, s: string, width: number): string {
  if (g.measureText(s).width <= width) return s;
  let n = s.length;
  while (n > 1 && g.measureText(s.slice(0, n) + "…").width > width) n--;
  return s.slice(0, n) + "…";
}

/** warmth is the colour of how far a count is out of the usual. */
function warmth(d: number): string {
  if (d === 0) return ink("heat-none");
  const strength = Math.min(1, 0.3 + Math.log2(1 + Math.abs(d)) / 5);
  return mix(ink("heat-none"), ink(d > 0 ? "heat-more" : "heat-less"), strength);
}

function mix(a: string, b: string, share: number): string {
  const [p, q] = [a, b].map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  return "rgb(" + [0, 1, 2].map((i) => Math.round((p?.[i] ?? 0) + ((q?.[i] ?? 0) - (p?.[i] ?? 0)) * share)).join(",") + ")";
}
