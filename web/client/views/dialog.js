// Dialogs of the browser's own kind: they hold the focus, end by Escape, and give the focus back.
import { button, h } from "../dom.js";
import { t } from "../i18n.js";

let titles = 0;

/** Opens at once. `content(close)` returns what is in it; `closed` is called afterwards. */
export function openDialog({ title, content, closed = () => {} }) {
  const id = `dialog-${++titles}`;
  const dialog = h("dialog", { "aria-labelledby": id, class: "dialog" });
  const close = () => dialog.close();
  dialog.append(
    h("div", { class: "dialog-head" }, h("h2", { id, tabIndex: -1 }, title), button("close", t("close"), { class: "icon-only", onclick: close })),
    h("div", { class: "dialog-body" }, content(close)),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && close()); // the backdrop
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("h2").focus();
  return dialog;
}

/** Ask before what can't be undone. `choices` `[{words, act, danger}]`; closing does nothing. */
export function ask({ title, text, choices }) {
  openDialog({
    title,
    content: (close) => [
      text && h("p", {}, text),
      h(
        "div",
        { class: "actions" },
        choices.map(({ words, act, danger }) =>
          button(null, words, {
            class: danger ? "danger" : "quiet",
            onclick() {
              close();
              act?.();
            },
          }),
        ),
      ),
    ],
  });
}
