// A page that says one thing, and what to do next: no such room, the call is over, the network is gone.
import { button, h, icon } from "../dom.js";
import { heading, page } from "./frame.js";

/** `notice` `{shape, tone, title, text, steps, actions: [{words, act, primary}]}` */
export function noticeView({ tools, shape, tone = "", title, text, steps = [], actions = [] }) {
  const content = h(
    "section",
    { class: `card notice ${tone}` },
    h("div", { class: "badge" }, icon(shape)),
    heading(title),
    h("p", { class: "lead" }, text),
    steps.length > 0 && h("ul", { class: "steps" }, steps.map((step) => h("li", {}, step))),
    h(
      "div",
      { class: "actions" },
      actions.map(({ words, act, primary, href }) =>
        href
          ? h("a", { class: "button quiet", href }, words)
          : button(null, words, { class: primary ? "primary" : "quiet", onclick: act }),
      ),
    ),
  );
  return { element: page(tools, content), close() {} };
}
