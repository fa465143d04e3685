// Elements, icons and what is said to screen readers. What others write is text, never markup.
import { SHAPES } from "./icons.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element: `on…` properties are listeners, `class`, `aria-…` and `data-…` attributes, the rest properties. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.startsWith("aria") && name !== "list" && name !== "role") element[name] = value;
    else if (value !== false || name.startsWith("aria")) element.setAttribute(name === "class" ? "class" : name, value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An icon of ours, which says nothing: the words are beside it or on its button. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  for (const shape of SHAPES[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return svg;
}

/** The regions of the page where news is read aloud; there from the beginning, as readers want it. */
const regions = {
  polite: document.getElementById("polite"),
  assertive: document.getElementById("assertive"),
};

/** Say `text` to whoever listens to the page instead of looking at it. */
export function announce(text, { urgent = false } = {}) {
  const region = regions[urgent ? "assertive" : "polite"];
  if (!region) return;
  region.append(h("p", {}, text));
  while (region.childElementCount > 5) region.firstElementChild.remove();
}

/** A button with an icon and words; the words are its name wherever only the icon is seen. */
export function button(shape, words, properties = {}) {
  return h("button", { type: "button", ...properties }, shape && icon(shape), h("span", { class: "words" }, words));
}

/** Replace what is in `place`, and nothing if it is the same already. */
export function fill(place, ...children) {
  place.replaceChildren(...children.flat(3).filter(Boolean));
  return place;
}

/** A text that changes only when it differs, so that readers don't read it again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
