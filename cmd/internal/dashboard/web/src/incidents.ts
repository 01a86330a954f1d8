// All incidents that are kept.
import type { View } from "./app";
import { Failure, get, part, type Incident } from "./api";
import { h, text } from "./dom";
import { incidentRows } from "./explain";

export class IncidentsView implements View {
  readonly title = "Incidents";
  readonly element: HTMLElement;
  private readonly list = h("div", { id: "incidents" });
  private readonly said = h("p", { class: "empty", role: "status" }, "Asking the daemon …");
  private readonly choice: Record<string, HTMLSelectElement> = {};

  constructor() {
    const select = (key: string, name: string, values: [string, string][]): HTMLElement => {
      const s = h("select", { onchange: () => void this.load() }, values.map(([v, w]) => h("option", { value: v }, w)));
      this.choice[key] = s;
      return h("label", null, name + " ", s);
    };
    this.element = h("section", null, h("h1", null, "Incidents"), h("div", { class: "bar" },
      select("state", "State", [["", "open and closed"], ["open", "open"], ["closed", "closed"]]),
      select("kind", "Kind", [["", "all"], ...["anomaly", "drift", "loss", "trace", "reboots", "identity", "policy"].map((k): [string, string] => [k, k])]),
      select("label", "Label", [["", "any or none"], ["none", "none"], ["true", "true alarm"], ["false", "false alarm"], ["unknown", "cannot be told"]])),
    this.list, this.said);
    void this.load();
  }

  private async load(): Promise<void> {
    const query = Object.entries(this.choice).filter(([, s]) => s.value !== "").map(([k, s]) => k + "=" + part(s.value)).join("&");
    try {
      const list = await get<Incident[]>("incidents?most=300" + (query ? "&" + query : ""));
      this.list.replaceChildren(list.length > 0 ? incidentRows(list, true) : "");
      text(this.said, list.length > 0 ? "" : query ? "No incident is like that." : "No incident is kept.");
    } catch (e) {
      text(this.said, e instanceof Failure ? e.message : String(e));
    }
  }
}
