// The room's written conversation.
import { button, h } from "../dom.js";
import { clock, t } from "../i18n.js";

const LONGEST = 2000;
const NEAR = 60; // px from the end: then what comes scrolls into view

/** Text with its web addresses made links; nothing else is markup. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"]+)/).map((part, index) =>
    index % 2 ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part,
  );
}

export function chatPanel({ room, close }) {
  const list = h("ol", { class: "messages", tabIndex: 0, "aria-label": t("chat.messages") });
  const nothing = h("p", { class: "empty" }, t("chat.empty"));
  const shown = new Set();
  let last = null;
  function show(message) {
    const mine = message.from === room.you;
    const follows = last && last.from === message.from && Date.parse(message.at) - Date.parse(last.at) < 120000;
    const head = h("p", { class: "who" }, h("strong", {}, mine ? t("chat.you") : message.name), h("time", { dateTime: message.at }, clock(message.at)));
    list.append(h("li", { class: `${mine ? "mine" : ""} ${follows ? "follows" : ""}` }, head, h("p", { class: "text" }, linked(message.text))));
    shown.add(message.id);
    last = message;
  }
  const stop = room.watch(["chat"], ({ chat }) => {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR;
    for (const message of chat) if (!shown.has(message.id)) show(message);
    nothing.hidden = chat.length > 0;
    list.hidden = chat.length === 0;
    if (atEnd) list.scrollTop = list.scrollHeight;
  });
  const input = h("textarea", {
    id: "chat-text",
    rows: 1,
    maxLength: LONGEST,
    placeholder: t("chat.placeholder"),
    oninput: grow,
    onkeydown(event) {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    },
  });
  function grow() {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight + 2, 140)}px`;
  }
  const form = h(
    "form",
    {
      class: "say",
      onsubmit(event) {
        event.preventDefault();
        const text = input.value.trim();
        if (!text || !room.send("chat", { text })) return;
        input.value = "";
        grow();
        list.scrollTop = list.scrollHeight;
      },
    },
    h("label", { htmlFor: "chat-text", class: "unseen" }, t("chat.label")),
    input,
    h("button", { type: "submit", class: "primary icon-only", title: t("chat.send") }, button("send", t("chat.send")).firstChild, h("span", { class: "words" }, t("chat.send"))),
  );
  room.openChat(true);
  return {
    title: t("chat.title"),
    element: h("div", { class: "chat" }, nothing, list, form),
    shown() {
      list.scrollTop = list.scrollHeight;
      input.focus();
    },
    close() {
      stop();
      room.openChat(false);
    },
    done: close,
  };
}
