// Small helpers to make elements. Text is only ever set as text: names of domains and words of others are not markup.

type Child = Node | string | number | null | undefined | false;
type Props = Record<string, string | number | boolean | null | undefined | ((e: never) => void)>;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props | null, ...children: (Child | Child[])[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") e.addEventListener(key.slice(2), value as EventListener);
    else e.setAttribute(key, value === true ? "" : String(value));
  }
  e.append(...children.flat().filter((c): c is Node | string | number => c !== null && c !== undefined && c !== false).map((c) => (typeof c === "number" ? String(c) : c)));
  return e;
}

/** svg makes an element of a picture, which takes its colours from the style sheet. */
export function svg<K extends keyof SVGElementTagNameMap>(tag: K, props: Record<string, string | number>, ...children: SVGElement[]): SVGElementTagNameMap[K] {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) e.setAttribute(key, String(value));
  e.append(...children);
  return e;
}

/** text sets an element's text, if it is another. */
export function text(e: Element, s: string): void {
  if (e.textContent !== s) e.textContent = s;
}

// Colours are asked for thousands of times, and to ask for one makes the browser work out its styles.
const inks = new Map<string, string>();

/** ink is a colour of the style sheet. */
export function ink(name: string): string {
  let colour = inks.get(name);
  if (colour === undefined) {
    colour = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
    inks.set(name, colour);
  }
  return colour;
}

/** newInks forgets the colours: others hold now. */
export const newInks = (): void => inks.clear();

/** canvas sizes a canvas for the screen's pixels, and returns where to draw in units of CSS. */
export function canvas(c: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio || 1;
  c.width = Math.round(width * ratio);
  c.height = Math.round(height * ratio);
  c.style.width = width + "px";
  c.style.height = height + "px";
  const g = c.getContext("2d");
  g?.scale(ratio, ratio);
  return g;
}

/** hatch fills a rectangle with slanted lines: what was not seen, or not scored. */
export function hatch(g: CanvasRenderingContext2D, x: number, y: number, w: number, height: number, colour: string, gap: number): void {
  g.save();
  g.beginPath();
  g.rect(x, y, w, height);
  g.clip();
  g.strokeStyle = colour;
  g.lineWidth = gap / 5;
  g.beginPath();
  // The lines lie on one grid of the whole canvas, so that neighbours join.
  for (let at = Math.floor((x - height) / gap) * gap; at < x + w + gap; at += gap) {
    const from = at - (Math.round(y) % gap);
    g.moveTo(from, y + height);
    g.lineTo(from + height, y);
  }
  g.stroke();
  g.restore();
}
