// News over the picture for some seconds; read aloud as well. All of it is to be found again in the panels.
import { announce, h, icon } from "../dom.js";

const SHOWN = 6000; // ms
const AT_ONCE = 3;

/** `{element, tell}`; `tell(text, {urgent, kind, quiet, open})`: `quiet` is read aloud only, `open` names a panel. */
export function toasts({ open }) {
  const element = h("div", { class: "toasts", "aria-hidden": "true" });
  function tell(text, { urgent = false, kind = "info", quiet = false, open: panel } = {}) {
    announce(text, { urgent });
    if (quiet) return;
    const toast = h("div", { class: `toast about-${kind}` }, icon(kind), h("span", {}, text));
    if (panel) toast.addEventListener("click", () => open(panel));
    element.append(toast);
    while (element.childElementCount > AT_ONCE) element.firstElementChild.remove();
    setTimeout(() => toast.remove(), SHOWN);
  }
  return { element, tell };
}
