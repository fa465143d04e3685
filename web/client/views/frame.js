// What surrounds the views outside the call: the name of the service, the language, a heading that gets the focus.
import { roomHere, testAddress } from "../door.js";
import { h, icon } from "../dom.js";
import { spoken, t } from "../i18n.js";

const OTHER = { fr: ["en", "English"], en: ["fr", "Français"] };

export function header({ changeLanguage }) {
  const [code, name] = OTHER[spoken()];
  const language = h(
    "button",
    { type: "button", class: "link language", lang: code, onclick: () => changeLanguage(code) },
    icon("globe"),
    h("span", {}, name),
  );
  return h("header", { class: "top" }, h("p", { class: "brand" }, h("span", { class: "mark", "aria-hidden": "true" }), "Visiopont"), language);
}

/** The view's heading; `app.js` moves the focus to it, so that readers say where one is. */
export const heading = (words) => h("h1", { tabIndex: -1 }, words);

export const page = (tools, ...content) => [header(tools), h("main", { id: "main" }, ...content), tools.bare ? null : footer()].filter(Boolean);

const footer = () => h("footer", { class: "bottom" }, h("a", { href: testAddress(decodeURIComponent(roomHere())) }, t("test.link")));
