// What came of a closer look: what was counted beside the domain's score, on one axis of time, and in all.
import { Failure, get, part, type Action, type ActionResult, type Tallied } from "./api";
import { Charts, type Step } from "./charts";
import { h, svg, text } from "./dom";
import { facts, sortable, type Column, type Order } from "./explain";
import { priceWords } from "./look";
import { count, lasting, moment, percent } from "./words";

const again = 4000;
const fewRows = 12;
const around = 60; // seconds of the domain's own units that are shown before and after
const width = 2; // of a unit, seconds
const onGrid = (t: number): number => Math.floor(t / width) * width;

// What the tables are called, in their order, and what their rows consist of.
const kinds: Record<string, { title: string; number?: boolean; name: string; part?: string }> = {
  "guest-syscalls": { title: "System calls of the guest", number: true, name: "System call", part: "Virtual CPU" },
  syscalls: { title: "System calls of its QEMU", number: true, name: "System call", part: "Thread" },
  exits: { title: "Exits of the guest", name: "Reason" },
  kvm: { title: "What KVM did beside", name: "What" },
  packets: { title: "Packets", name: "What", part: "Way" },
  functions: { title: "Functions of its QEMU", name: "Function", part: "Argument" },
  events: { title: "Trace points of its QEMU", name: "Event", part: "Argument" },
};

/** line draws counts over time, small. */
function line(values: number[] | undefined): SVGElement | string {
  if (!values || values.length === 0) return "";
  const width = 110;
  const height = 16;
  const most = Math.max(...values, 1);
  const step = width / values.length;
  const d = values.map((v, i) => `M${(i * step).toFixed(1)} ${height}V${(height - (v / most) * (height - 1)).toFixed(1)}h${Math.max(0.8, step - 0.6).toFixed(1)}V${height}`).join("");
  return svg("svg", { width, height, class: "spark", "aria-hidden": "true" }, svg("path", { d }));
}

export class LookResult {
  readonly element: HTMLElement;
  private readonly head = h("div", null);
  private readonly tables = h("div", { class: "tables" });
  private readonly said = h("p", { class: "empty", role: "status" }, "Asking the daemon …");
  private readonly all = h("button", { type: "button", "aria-pressed": "true" }, "all hits");
  private readonly drawnBar = h("p", { class: "dim", hidden: true });
  private readonly charts = new Charts(undefined, ["score", "hits"], "look");
  private readonly orders = new Map<string, Order>();
  private readonly whole = new Set<string>(); // tables that are shown in full
  private result: ActionResult | undefined;
  private drawn = ""; // the feature over time; empty: all hits
  private loaded = 0;
  private loading = false;
  private dirty = true;
  private closed = false;

  constructor(readonly id: string, private readonly around: (from: number, to: number) => Step[], gone: () => void) {
    this.all.addEventListener("click", () => this.choose(""));
    this.drawnBar.append("Over time: ", this.all, " or, by its name in a table, one of what was counted.");
    this.element = h("div", { class: "look-result", role: "region", "aria-label": "Results of the closer look" },
      h("div", { class: "bar" }, h("h3", null, "What it has seen"), h("button", { type: "button", onclick: gone }, "Close")), this.head, this.said, this.drawnBar, this.charts.element, this.tables);
    this.charts.element.hidden = true;
    void this.load();
  }

  close(): void {
    this.closed = true;
    this.charts.close();
  }

  repaint(): void { if (!this.charts.element.hidden) this.charts.repaint(); }

  /** update says that the action is another than it was: there is more to ask for. */
  update(a: Action): void {
    const r = this.result;
    if (!r || a.units !== r.units || a.hits !== r.hits || a.state !== r.state || a.measured_price.slowdown !== r.measured_price.slowdown) this.dirty = true;
    if (r && a.state !== r.state) void this.load();
  }

  tick(): void {
    if (this.dirty && !document.hidden && Date.now() - this.loaded > again) void this.load();
  }

  /** timed says that more is known of the domain's units. */
  timed(): void { if (this.result) this.draw(this.result); }

  private async load(): Promise<void> {
    if (this.loading || this.closed) return;
    this.loading = true;
    this.dirty = false;
    try {
      const r = await get<ActionResult>("actions/" + part(this.id));
      if (this.closed) return;
      this.result = r;
      this.show(r);
      text(this.said, r.rows.length > 0 ? "" : r.state === "running" ? "The first unit ends within some seconds." : "It has counted nothing.");
    } catch (e) {
      if (!this.closed) text(this.said, e instanceof Failure ? e.message : String(e));
    } finally {
      this.loading = false;
      this.loaded = Date.now();
    }
  }

  private show(r: ActionResult): void {
    const from = r.started ? new Date(r.started) : new Date(r.asked);
    const list: [string, Node | string][] = [
      ["Action", r.actions.join(", ")], ["State", r.state + (r.code ? ` (${r.code})` : "")],
      ["From", moment(from) + (r.until ? ` to ${moment(new Date(r.until))}` : "")],
      ["Price", `predicted ${priceWords(r.price)}`], ["Measured", priceWords(r.measured_price) + (r.measured_price.why ? ` (${r.measured_price.why})` : "")],
      ["Seen", `${r.units} units, ${count(r.hits)} hits${r.lost > 0 ? `, at most ${count(r.lost)} events lost: counts are lower bounds` : ""}`],
    ];
    if (r.why) list.push(["Remarks", r.why]);
    this.head.replaceChildren(facts(list));
    this.draw(r);
    this.showTables(r);
  }

  private choose(feature: string): void {
    this.drawn = this.drawn === feature ? "" : feature;
    if (this.result) this.show(this.result);
  }

  private draw(r: ActionResult): void {
    const line = r.line ?? [];
    const some = line.length > 0;
    this.charts.element.hidden = !some;
    this.drawnBar.hidden = !some;
    this.all.setAttribute("aria-pressed", String(this.drawn === ""));
    if (!some) return;
    const row = r.rows.find((t) => t.feature === this.drawn);
    const steps = line.map((u, i): Step => ({
      at: onGrid(Date.parse(u.start) / 1000), length: width, unusual: false, hits: row?.values?.[i] ?? (row ? 0 : u.hits), lost: u.lost,
      ...(u.state ? { state: u.state } : {}), ...(u.judged ? { score: u.score, p: u.p_value } : {}),
    }));
    // They lie on the grid of the domain's own units: the first and the last of a look are parts of such. Those stand beside them, with what is known of them by now.
    const first = steps[0]?.at ?? 0;
    const last = steps[steps.length - 1]?.at ?? 0;
    const own = this.around(first - around, last + around);
    const near = (a: number, b: number): boolean => Math.abs(a - b) < 1;
    for (const s of steps) {
      const known = own.find((o) => near(o.at, s.at));
      if (known && known.p !== undefined) Object.assign(s, { p: known.p, score: known.score, unusual: known.unusual, state: known.state ?? s.state });
    }
    const others = own.filter((o) => !steps.some((s) => near(o.at, s.at)));
    const all = [...steps, ...others].sort((a, b) => a.at - b.at);
    const to = r.state === "running" ? last + width : Date.parse(r.until ?? r.asked) / 1000;
    this.charts.show(all, [{ from: r.started ? Date.parse(r.started) / 1000 : first, to, open: r.state === "running", look: true, text: "closer look" }], 0, row ? row.words || row.feature : "all that was counted");
  }

  private showTables(r: ActionResult): void {
    const seconds = (r.line ?? []).reduce((s, u) => s + u.duration_seconds, 0);
    const focus = document.activeElement instanceof HTMLElement && this.tables.contains(document.activeElement) ? document.activeElement : undefined;
    const kept = focus ? [focus.closest("[data-kind]")?.getAttribute("data-kind"), focus.dataset.head, focus.dataset.feature] : undefined;
    const parts = Object.keys(kinds).flatMap((kind) => {
      const rows = r.rows.filter((t) => t.kind === kind);
      return rows.length > 0 ? [this.table(r, kind, rows, seconds)] : [];
    });
    this.tables.replaceChildren(...parts);
    if (!kept) return;
    const within = [...this.tables.querySelectorAll<HTMLElement>("[data-kind]")].find((e) => e.dataset.kind === kept[0]);
    [...(within?.querySelectorAll("button") ?? [])].find((b) => b.dataset.head === kept[1] && b.dataset.feature === kept[2])?.focus();
  }

  private table(r: ActionResult, kind: string, rows: Tallied[], seconds: number): HTMLElement {
    const of = kinds[kind] ?? { title: kind, name: "What" };
    const sum = rows.reduce((s, t) => s + t.hits, 0);
    const columns: Column<Tallied>[] = [];
    if (of.number) columns.push({ title: "No.", kind: "number", cell: (t) => (t.number === undefined ? "–" : String(t.number)), value: (t) => t.number ?? -1 });
    columns.push({
      title: of.name, value: (t) => t.name, cell: (t) => t.values
        ? h("button", { type: "button", class: "feature", "aria-pressed": String(this.drawn === t.feature), "data-feature": t.feature, title: "Draw it over time", onclick: () => this.choose(t.feature) }, t.name) : t.name,
    });
    if (of.part && rows.some((t) => t.part)) columns.push({ title: of.part, value: (t) => t.part ?? "", cell: (t) => t.part ?? "" });
    columns.push(
      { title: "Hits", kind: "number", value: (t) => t.hits, cell: (t) => String(t.hits) },
      { title: "A second", kind: "number", value: (t) => t.hits, cell: (t) => (seconds > 0 ? count(t.hits / seconds) : "–") },
      { title: "Share", kind: "number", hint: "Of the hits in this table", value: (t) => t.hits, cell: (t) => percent(sum > 0 ? t.hits / sum : 0) },
      { title: "Over time", kind: "scale", hint: "A bar a unit, the tallest the most of its own", cell: (t) => line(t.values) as Node | string },
      { title: "What it is", kind: "why", value: (t) => t.words ?? "", cell: (t) => t.words ?? "" });
    const hits = columns.findIndex((c) => c.title === "Hits");
    const order = this.orders.get(kind) ?? { column: hits, down: true };
    this.orders.set(kind, order);
    const whole = this.whole.has(kind);
    const more = rows.length > fewRows ? h("button", { type: "button", onclick: () => { if (whole) this.whole.delete(kind); else this.whole.add(kind); this.showTables(r); } }, whole ? `the first ${fewRows} only` : `all ${rows.length}`) : "";
    return h("div", { "data-kind": kind }, h("h3", null, of.title, " ", h("span", { class: "dim" }, `${count(sum)} hits${r.lost > 0 ? " or more" : ""} in ${lasting(seconds)}`)),
      sortable(columns, rows, order, whole ? rows.length : fewRows, () => this.showTables(r)), more);
  }
}
