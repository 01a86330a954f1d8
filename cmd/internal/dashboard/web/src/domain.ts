// One domain: its state, what its units were judged to be over time, what was counted, and what is to be said of a span.
import type { Shared, View } from "./app";
import { Failure, get, now, part, post, type Counts, type Domain, type Incident, type Relearnt, type ScoredUnit, type Timeline, type Track } from "./api";
import { Charts, far, gaps, Heat, type Mark, type Span, type Step } from "./charts";
import { h, text } from "./dom";
import { LookPanel } from "./look";
import { around, facts, incidentRows, judging, variables } from "./explain";
import { ago, badge, clock, count, lasting, moment, percent, tail } from "./words";

/** stepsOf reads a track; of the newest steps those that no unit can have come of yet are left out. */
export function stepsOf(t: Track): Step[] {
  const from = Date.parse(t.start) / 1000;
  const steps = (t.state ?? []).map((state, i): Step => ({
    at: from + i * t.step_seconds, length: t.step_seconds, unusual: t.unusual[i] ?? false,
    ...(state >= 0 ? { state: t.states[state] } : {}), ...((t.reason[i] ?? -1) >= 0 ? { reason: t.reasons[t.reason[i] as number] } : {}),
    ...((t.scored[i] ?? 0) > 0 ? { score: t.score[i], p: t.p_value[i] } : {}),
  }));
  for (let n = 0; n < 5 && steps.length > 1; n++) {
    const last = steps[steps.length - 1];
    if (!last || last.p !== undefined || last.length > 10 || last.reason !== undefined) break;
    steps.pop();
  }
  return steps;
}

const ranges: [string, string][] = [["units", "29 min, every unit"], ["3", "3 h"], ["8", "8 h"], ["24", "24 h"]];
const refreshEvery = 6000;

export class DomainView implements View {
  title = "Domain";
  readonly element = h("section", { class: "domain" });
  private readonly head = h("div", { class: "head" });
  private readonly lead = h("p", { class: "lead" });
  private readonly facts = h("div", null);
  private readonly explanation = h("div", { id: "explanation" });
  private readonly incidents = h("div", null);
  private readonly near = h("div", null);
  private readonly missing = h("p", { class: "dim", id: "gaps" });
  private readonly said = h("p", { class: "empty", role: "status" }, "Asking the daemon …");
  private readonly panel = h("aside", { class: "panel", "aria-label": "The chosen span" });
  private readonly charts = new Charts((s) => this.choose(s));
  private readonly heat = new Heat(() => (this.all ? 1000 : 24));
  private readonly look: LookPanel;
  private readonly body: HTMLElement;
  private all = false;
  private range = "units";
  private timeline: Timeline | undefined;
  private kept: Incident[] = [];
  private counts: Counts | undefined;
  private span: Span | undefined;
  private loaded = 0;
  private loading = false;
  private closed = false;
  private readonly timer: number;
  private readonly from = h("input", { type: "datetime-local", step: 2, "aria-label": "From" });
  private readonly to = h("input", { type: "datetime-local", step: 2, "aria-label": "To" });

  /** look: the panel of closer looks is what was asked for. */
  constructor(private readonly shared: Shared, private readonly ref: string, private toLook: boolean) {
    this.look = new LookPanel(shared, ref, toLook, (from, to) => this.timeline ? stepsOf(this.timeline.units).filter((s) => s.at + s.length > from && s.at < to) : []);
    const buttons = ranges.map(([key, words]) => {
      const b = h("button", { type: "button", "aria-pressed": String(key === this.range) }, words);
      b.addEventListener("click", () => {
        this.range = key;
        buttons.forEach((x) => x.setAttribute("aria-pressed", String(x === b)));
        this.draw();
      });
      return b;
    });
    const more = h("button", { type: "button", "aria-pressed": "false" }, "all features");
    more.addEventListener("click", () => {
      this.all = !this.all;
      more.setAttribute("aria-pressed", String(this.all));
      if (this.counts) this.heat.show(this.counts);
    });
    const apply = h("button", { type: "button" }, "Choose");
    apply.addEventListener("click", () => {
      const s = { from: new Date(this.from.value).getTime() / 1000, to: new Date(this.to.value).getTime() / 1000 };
      if (s.from < s.to) this.choose(s);
    });
    this.body = h("div", { hidden: true }, this.lead, this.facts,
      h("h2", null, "Over time"), h("div", { class: "bar" }, h("div", { class: "chips", role: "group", "aria-label": "Span that is shown" }, buttons),
        h("span", { class: "dim" }, "Hatched: not scored. Dashed: the limit. ◯ unusual. ⊓ incident. ▬ closer look. Strip at the foot: state.")),
      this.charts.element, this.missing, this.panel,
      h("details", { class: "byhand" }, h("summary", null, "Choose a span by its times"), h("div", { class: "bar" }, this.from, " to ", this.to, apply)),
      this.look.element,
      h("h2", null, "Features over the last hour"),
      h("div", { class: "bar" }, h("div", { class: "chips" }, more), heatLegend()), this.heat.element,
      h("h2", null, "The newest unusual unit"), this.explanation, h("h2", null, "Incidents"), this.incidents, h("h2", null, "Surroundings"), this.near);
    this.element.append(this.head, this.said, this.body);
    this.head.append(h("h1", null, this.shared.rows.get(ref)?.name ?? "Domain"));
    void this.load();
    this.timer = window.setInterval(() => { if (!document.hidden && Date.now() - this.loaded > 20_000) void this.load(); }, 5000);
  }

  close(): void {
    this.closed = true;
    window.clearInterval(this.timer);
    this.charts.close();
    this.look.close();
    this.heat.close();
  }

  actions(): void {
    this.look.actions();
    if (this.timeline) this.draw();
  }

  repaint(): void {
    this.look.repaint();
    this.charts.repaint();
    this.heat.draw();
  }

  rows(): void {
    if (this.shared.known && !this.shared.rows.has(this.ref) && this.timeline) text(this.said, "The domain does not run any more. What is shown is the last that was seen of it.");
  }

  units(list: ScoredUnit[]): void {
    if (document.hidden || Date.now() - this.loaded < refreshEvery) return;
    if (list.some((u) => u.domain === this.timeline?.uuid)) void this.load();
  }

  private async load(): Promise<void> {
    if (this.loading || this.closed) return;
    this.loading = true;
    const at = "domains/" + part(this.ref);
    try {
      const [d, t, c] = await Promise.all([get<Domain>(at), get<Timeline>(at + "/timeline"), get<Counts>(at + "/counts?columns=180")]);
      this.kept = await get<Incident[]>("incidents?most=100&domain=" + part(d.uuid));
      if (this.closed) return;
      this.timeline = t;
      this.counts = c;
      this.body.hidden = false;
      this.look.know(d.uuid);
      this.show(d);
      this.draw();
      this.look.timed();
      if (c.rows?.length) this.heat.show(c);
      this.heat.element.hidden = !c.rows?.length;
      text(this.said, "");
      if (this.toLook) this.look.element.scrollIntoView({ block: "start" });
      this.toLook = false;
    } catch (e) {
      if (!this.closed) text(this.said, e instanceof Failure ? (e.status === 404 ? "This domain does not run on this host, or not any more." : e.message) : String(e));
    } finally {
      this.loading = false;
      this.loaded = Date.now();
    }
  }

  private show(d: Domain): void {
    this.title = d.name;
    document.title = d.name + " · virtsentry";
    this.head.replaceChildren(h("h1", null, d.name), badge(d.state), h("span", { class: "dim" }, `for ${ago(d.since)}`), h("code", { class: "dim" }, d.uuid));
    this.lead.className = "lead " + d.state;
    text(this.lead, d.reason?.text ?? "");
    const p = d.promise;
    const not = Object.entries(d.ledger.reasons_seconds ?? {}).sort((a, b) => b[1] - a[1]).map(([k, s]) => `${k} ${lasting(s)}`);
    const list: [string, Node | string][] = [
      ["Coverage", d.coverage + (d.unseen?.length ? ": not seen " + d.unseen.map((u) => `${u.kind} ${u.name} (${u.why})`).join(", ") : "")],
      ["Seen by", (d.sources ?? []).map((s) => s.name + (s.error ? ` (not: ${s.error})` : s.detail ? ` (${s.detail})` : "")).join(", ") || "nothing"],
      ["Profile", d.learning ? `learning: ${d.learning.units} of ${d.learning.wanted_units} units, about ${lasting(d.learning.seconds_left)}` : d.profile ? `${count(d.learnt_units)} units, ${d.support_vectors} support vectors${d.trained ? ", " + moment(new Date(d.trained), false) : ""}` : "none"],
      ["False alarms", p ? `${p.accepted_per_day} a day accepted; ${p.bound_per_day === undefined ? "no unit judged yet" : "at most " + count(p.bound_per_day) + " a day"}${p.provisional ? " (provisional)" : ""}` : "–"],
      ["Scored", percent(d.ledger.life_seconds > 0 ? d.ledger.scored_seconds / d.ledger.life_seconds : 0) + " of " + lasting(d.ledger.life_seconds) + (not.length ? "; not: " + not.slice(0, 4).join(", ") : "")],
      ["Units", `${d.units.seen} seen, ${d.units.judged} judged, ${d.units.lossy} with losses`],
      ["Last unit", d.last?.judged ? `${clock(new Date(d.last.start))}: score ${d.last.score.toFixed(3)}, p-value ${tail(d.last.p_value)}` : "not judged"],
      ["Cost", `${d.units.seen > 0 ? ((1000 * d.cpu_seconds) / d.units.seen).toFixed(1) : "–"} ms of CPU time a unit, ${(d.buffer_bytes / 2 ** 20).toFixed(1)} MiB of buffers`],
    ];
    this.facts.replaceChildren(facts(list));
    const a = d.alarm;
    this.explanation.replaceChildren(...(a
      ? [h("p", null, `${moment(new Date(a.start))}: score ${a.score.toFixed(3)}, p-value ${tail(a.p_value)}. ${a.sentence ?? ""}`), a.explain?.length ? variables(a.explain) : ""]
      : [h("p", { class: "empty" }, d.profile ? "No unit was unusual since the daemon attached to the domain." : "Nothing is judged yet: the profile is being learnt.")]));
    this.incidents.replaceChildren(this.kept.length > 0 ? incidentRows(this.kept, false) : h("p", { class: "empty" }, "No incident of this domain is kept."));
    this.near.replaceChildren(d.surroundings ? around(d.surroundings) : h("p", { class: "empty" }, "Nothing is known of them."));
    if (this.counts && !this.counts.rows?.length) this.heat.element.hidden = true;
  }

  private steps(): Step[] {
    if (!this.timeline) return [];
    if (this.range === "units") return stepsOf(this.timeline.units);
    const all = stepsOf(this.timeline.minutes);
    const last = all[all.length - 1];
    const since = (last ? last.at + last.length : 0) - Number(this.range) * 3600;
    return all.filter((s) => s.at >= since);
  }

  private draw(): void {
    const steps = this.steps();
    const marks: Mark[] = this.kept.filter((i) => i.kind === "anomaly").map((i) => ({
      from: Date.parse(i.from ?? i.since) / 1000, to: i.closed && i.to ? Date.parse(i.to) / 1000 : i.closed && i.until ? Date.parse(i.until) / 1000 : Date.now() / 1000,
      open: !i.closed, text: i.text,
    }));
    for (const a of this.look.looks()) {
      if (!a.started) continue;
      const running = a.state === "running";
      const to = Date.parse(a.until ?? a.started) / 1000;
      marks.push({ from: Date.parse(a.started) / 1000, to: running ? Math.min(to, now() / 1000) : to, open: running, look: true, text: "closer look: " + a.actions.join(", ") });
    }
    this.charts.show(steps, marks, this.timeline?.level ?? 0);
    const list = [...gaps(steps)].sort((a, b) => b[1] - a[1]).map(([why, s]) => `${why} ${lasting(s)}`);
    text(this.missing, steps.length === 0 ? "No unit of this domain has come yet." : list.length === 0 ? "All of the shown time was scored." : "Not scored in the shown time: " + list.join(", ") + ".");
  }

  private choose(s: Span): void {
    this.span = { from: Math.floor(s.from / 2) * 2, to: Math.ceil(s.to / 2) * 2 };
    const local = (t: number): string => { const x = new Date(t * 1000); return new Date(x.getTime() - x.getTimezoneOffset() * 60000).toISOString().slice(0, 19); };
    this.from.value = local(this.span.from);
    this.to.value = local(this.span.to);
    this.charts.select(this.span);
    this.panelFor(this.span);
  }

  private panelFor(s: Span): void {
    const result = h("div", { class: "result", role: "status" });
    const iso = { from: new Date(s.from * 1000).toISOString(), to: new Date(s.to * 1000).toISOString() };
    const run = (f: () => Promise<Node[]>): void => {
      result.replaceChildren("…");
      void f().then((n) => result.replaceChildren(...n)).catch((e: unknown) => result.replaceChildren(h("p", { class: "bad" }, e instanceof Failure ? e.message : String(e))));
    };
    const changes = this.shared.session.changes;
    const hit = this.kept.filter((i) => Date.parse(i.from ?? i.since) / 1000 < s.to && (!i.closed || Date.parse(i.to ?? i.until ?? i.since) / 1000 > s.from) && i.kind === "anomaly");
    this.panel.replaceChildren(
      h("h2", null, `${moment(new Date(s.from * 1000))} to ${moment(new Date(s.to * 1000))}, ${lasting(s.to - s.from)}`),
      h("div", { class: "bar" },
        h("button", { type: "button", id: "compare", onclick: () => run(() => this.compare(iso)) }, "Compare with the usual"),
        h("button", { type: "button", id: "relearn", disabled: !changes, onclick: () => run(() => this.relearn(iso, true, result)) }, "Mark as normal …"),
        h("button", { type: "button", onclick: () => { this.span = undefined; this.panel.replaceChildren(); this.charts.select(undefined); } }, "Clear")),
      changes ? "" : h("p", { class: "dim" }, "Nothing can be changed at this address (virtsentry relearn can)."),
      ...hit.slice(0, 3).map((i) => h("div", { class: "hit" }, h("p", null, "In this span: ", h("a", { href: "#/incident/" + part(i.id) }, `incident of ${moment(new Date(i.since))}`), ". What was it?"), judging(i, changes, () => void this.load()))),
      hit.length === 0 ? h("p", { class: "dim" }, "No incident lies in this span, so there is no alarm to label.") : "", result);
    this.panel.scrollIntoView({ block: "nearest" });
  }

  private async compare(iso: { from: string; to: string }): Promise<Node[]> {
    const c = await get<Counts>(`domains/${part(this.ref)}/counts?columns=60&from=${part(iso.from)}&to=${part(iso.to)}`);
    if (!c.rows?.length) return [h("p", null, "No whole unit of this span is remembered: counts are kept for an hour, and of units that lost no events.")];
    if (!c.profile) return [h("p", null, "No profile is in force: what is usual is not known yet.")];
    const list = c.rows.map((r) => ({ r, d: far(r, r.mean) })).sort((a, b) => Math.abs(b.d) - Math.abs(a.d) || b.r.mean - a.r.mean);
    const out = list.filter((x) => x.d !== 0);
    const rows = (out.length > 0 ? out : list).slice(0, 15).map(({ r, d }) => [
      h("span", { title: r.words }, r.feature), r.subsystem, count(r.mean), count(r.typical), count(r.low) + " – " + count(r.high),
      d === 0 ? "as usual" : (d > 0 ? "▲ more, " : "▼ less, ") + Math.abs(d).toFixed(1) + " ×",
    ]);
    return [h("p", null, `${c.total_units} units; ${out.length} of ${c.rows.length} features are out of their usual range on average.`),
      tableOf(["Feature", "Part", "Mean a unit", "Typical", "Usually", "Against the usual"], rows)];
  }

  private async relearn(iso: { from: string; to: string }, dry: boolean, result: HTMLElement): Promise<Node[]> {
    const r = await post<Relearnt>(`domains/${part(this.ref)}/relearn`, { ...iso, dry_run: dry, accept_loss: 0.05 });
    const e = r.effect;
    const rows = [["the marked units", e.marked], ["those that it was learnt from", e.reference], ["others of the last hour", e.remembered]].map(([name, v]) => {
      const x = v as { units: number; before: number; after: number };
      return [name as string, String(x.units), String(x.before), String(x.after)];
    });
    const attacks = (e.attacks ?? []).filter((a) => a.simulated).map((a) => [a.name, percent(a.before, 0), percent(a.after, 0)]);
    const nodes: Node[] = [tableOf(["Units", "Number", "Unusual before", "Unusual after"], rows)];
    if (attacks.length > 0) nodes.push(tableOf(["Simulated attack", "Found before", "Found after"], attacks));
    if (r.lost?.length) {
      nodes.unshift(h("p", { class: "bad" }, `Not put in force: too much less would be found of ${r.lost.join(", ")}. virtsentry relearn --accept-loss can do it all the same.`));
    } else if (dry) {
      const yes = h("button", { type: "button", id: "confirm" }, "Put the new profile in force");
      yes.addEventListener("click", () => {
        result.replaceChildren("Learning …");
        void this.relearn(iso, false, result).then((n) => { result.replaceChildren(...n); void this.load(); }).catch((x: unknown) => result.replaceChildren(h("p", { class: "bad" }, x instanceof Failure ? x.message : String(x))));
      });
      nodes.unshift(h("p", null, "This is what would come of it. Nothing is changed yet. ", yes));
    } else {
      nodes.unshift(h("p", null, `Done: the new profile, learnt from ${r.profile.units} units, is in force. The old one is kept (virtsentry profile rollback).`));
    }
    return nodes;
  }
}

function tableOf(heads: string[], rows: (Node | string)[][]): HTMLElement {
  return h("div", { class: "scroll" }, h("table", null, h("thead", null, h("tr", null, heads.map((t, i) => h("th", { scope: "col", class: i === 0 ? "" : "number" }, t)))),
    h("tbody", null, rows.map((r) => h("tr", null, r.map((c, i) => h("td", { class: i === 0 ? "" : "number" }, c)))))));
}

function heatLegend(): HTMLElement {
  return h("span", { class: "key" }, h("i", { class: "less" }), "less than usual", h("i", { class: "none" }), "usual", h("i", { class: "more" }), "more than usual", h("i", { class: "blank" }), "hatched: not counted");
}
