// The access code of a room that asks for it.
import { button, h, icon, write } from "../dom.js";
import { t } from "../i18n.js";
import { heading, page } from "./frame.js";

/** `enter(pin)` resolves to null, or to what is wrong, in words. `back`: it is the host's, and can be done without. */
export function pinView({ tools, title, enter, back }) {
  const error = h("p", { class: "error", id: "pin-error", role: "alert" });
  const input = h("input", {
    id: "pin",
    name: "pin",
    inputMode: "numeric",
    autocomplete: "off",
    required: true,
    maxLength: 32,
    "aria-describedby": "pin-hint pin-error",
  });
  const submit = h("button", { type: "submit", class: "primary wide" }, t("pin.enter"));
  const form = h(
    "form",
    {
      noValidate: true,
      async onsubmit(event) {
        event.preventDefault();
        submit.disabled = true;
        const wrong = input.value.trim() ? await enter(input.value.trim()) : t("pin.empty");
        submit.disabled = false;
        if (!wrong) return;
        write(error, wrong);
        input.setAttribute("aria-invalid", "true");
        input.select();
        input.focus();
      },
    },
    h("div", { class: "field" }, h("label", { htmlFor: "pin" }, t(back ? "pin.hostLabel" : "pin.label")), input, h("p", { class: "hint", id: "pin-hint" }, t("pin.hint")), error),
    submit,
    back && button(null, t("pin.back"), { class: "link", onclick: back }),
  );
  const content = h("section", { class: "card notice" }, h("div", { class: "badge" }, icon("key")), heading(title), h("p", { class: "lead" }, t(back ? "pin.hostLead" : "pin.lead")), form);
  return { element: page(tools, content), close() {} };
}
