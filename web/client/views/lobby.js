// Waiting: for the server to answer, then perhaps for a host who admits.
import { button, h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { heading, page } from "./frame.js";

export function waitView({ tools, title, lobby, devices, leave }) {
  const picture = h("video", { autoplay: true, muted: true, playsInline: true, class: "mirror", "aria-label": t("preview.label") });
  if (devices.camera) picture.srcObject = new MediaStream([devices.camera]);
  const content = h(
    "section",
    { class: "card notice waiting" },
    devices.camera ? picture : h("div", { class: "badge pulse" }, icon(lobby ? "wait" : "signal")),
    heading(t(lobby ? "lobby.title" : "calling.title")),
    h("p", { class: "lead" }, t(lobby ? "lobby.text" : "calling.text", { title })),
    lobby && h("p", { class: "hint" }, t(devices.microphone ? "lobby.hint" : "lobby.hintListen")),
    h("div", { class: "dots", "aria-hidden": "true" }, h("span"), h("span"), h("span")),
    h("div", { class: "actions" }, button("leave", t("lobby.leave"), { class: "quiet", onclick: leave })),
  );
  return { element: page(tools, content), close() {} };
}
