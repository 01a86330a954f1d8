// One incident: what it was, what was unusual, what stood around the domain then.
import type { Shared, View } from "./app";
import { Failure, get, part, type Incident, type IncidentUnits } from "./api";
import { Charts, gaps, type Step } from "./charts";
import { h, text } from "./dom";
import { around, facts, judging, labelled, variables } from "./explain";
import { lasting, moment, tail } from "./words";

export class IncidentView implements View {
  title = "Incident";
  readonly element = h("section", null);
  private charts: Charts | undefined;
  private closed = false;

  constructor(private readonly shared: Shared, private readonly id: string) {
    this.element.append(h("p", { class: "empty", role: "status" }, "Asking the daemon …"));
    void this.load();
  }

  close(): void { this.closed = true; this.charts?.close(); }
  repaint(): void { this.charts?.repaint(); }

  private async load(): Promise<void> {
    try {
      const [i, u] = await Promise.all([get<Incident>("incidents/" + part(this.id)), get<IncidentUnits>(`incidents/${part(this.id)}/units`)]);
      if (!this.closed) this.show(i, u);
    } catch (e) {
      this.element.replaceChildren(h("h1", null, "Incident"), h("p", { class: "empty", role: "alert" }, e instanceof Failure ? e.message : String(e)));
    }
  }

  private show(i: Incident, u: IncidentUnits): void {
    this.title = `${i.kind} of ${i.name}`;
    document.title = this.title + " · virtsentry";
    const label = h("span", null, labelled(i));
    const unscored = Object.entries(i.unscored_seconds ?? {}).map(([k, s]) => `${k} ${lasting(s)}`).join(", ");
    const list: [string, Node | string][] = [
      ["Domain", h("a", { href: "#/domain/" + part(i.uuid) }, i.name)], ["On host", i.host],
      ["Opened", moment(new Date(i.since))], ["Ended", i.closed ? `${i.until ? moment(new Date(i.until)) : ""} (${i.closed})` : h("strong", null, "open")],
      ["Unusual units", String(i.units)], ["Scored", lasting(i.scored_seconds) + (unscored ? "; not scored: " + unscored : "")], ["Label", label],
      ["Identity", h("code", null, i.id)],
    ];
    if (i.unseen?.length) list.push(["Not seen", i.unseen.map((x) => `${x.kind} ${x.name}: ${x.why}`).join("; ")]);
    const steps: Step[] = (u.units ?? []).map((k) => ({
      at: Date.parse(k.start) / 1000, length: k.duration_seconds, state: k.state, reason: k.reason, unusual: k.anomalous,
      ...(k.judged && !k.reason ? { score: k.score, p: k.p_value } : {}),
    }));
    const parts: (Node | null)[] = [
      h("h1", null, `${i.kind} · ${i.name}`), h("p", { class: "lead" }, i.text), facts(list),
      h("p", null, h("a", { href: `#/domain/${part(i.uuid)}/look`, id: "look-closer", class: "button" }, `Look closer at ${i.name} …`)),
      h("h2", null, "What was it?"), judging(i, this.shared.session.changes, (n) => text(label, labelled(n))),
    ];
    if (i.peak) {
      parts.push(h("h2", null, "The least probable unit"), h("p", null, `${moment(new Date(i.peak.start))}: score ${i.peak.score.toFixed(3)}, p-value ${tail(i.peak.p_value)}. ${i.peak.sentence}`),
        i.peak.explain?.length ? variables(i.peak.explain) : null);
    }
    if (steps.length > 1) {
      this.charts?.close();
      this.charts = new Charts();
      const first = steps[0] as Step;
      const end = steps[steps.length - 1] as Step;
      const from = i.from ? Date.parse(i.from) / 1000 : Date.parse(i.since) / 1000;
      const to = i.to ? Date.parse(i.to) / 1000 : end.at + end.length;
      parts.push(h("h2", null, `The units around it, ${moment(new Date(first.at * 1000))} to ${moment(new Date((end.at + end.length) * 1000))}`), this.charts.element);
      const missing = [...gaps(steps)].map(([why, s]) => `${why} ${lasting(s)}`).join(", ");
      if (missing) parts.push(h("p", { class: "dim" }, "Not scored: " + missing));
      this.element.replaceChildren(...parts.filter((p): p is Node => p !== null));
      this.charts.show(steps, [{ from, to, open: !i.closed, text: i.text }], 0);
      parts.length = 0;
    } else {
      parts.push(h("p", { class: "dim" }, "No units are kept with it."));
    }
    const rest = [...parts.filter((p): p is Node => p !== null)];
    if (rest.length > 0) this.element.replaceChildren(...rest);
    if (i.surroundings) this.element.append(h("h2", null, "What stood around it"), around(i.surroundings));
  }
}
