// The connection test: runs the checks one after the other and says in words what works from here and what to open.
import { CHECKS, place } from "./checks.js";
import { announce, button, fill, h, icon, write } from "./dom.js";
import { preferred, speak, t } from "./i18n.js";
import { choices, choose } from "./memory.js";
import { heading, page } from "./views/frame.js";

const SHAPES = { waiting: "wait", running: "signal", good: "check", fair: "warning", bad: "close", skipped: "info" };
const ROOM = "room";

const where = document.getElementById("place");
const query = new URLSearchParams(location.search);
const room = query.get(ROOM) ?? "";
const token = query.get("t");
let running = false;

const tools = {
  bare: true,
  changeLanguage(code) {
    if (running) return;
    speak(code);
    choose({ language: code });
    draw();
  },
};

function row(name) {
  const mark = h("span", { class: "mark" });
  const state = h("span", { class: "state" });
  const words = h("p", { class: "words" });
  const element = h("li", {}, mark, h("div", {}, h("h2", {}, t(`test.${name}`)), words), state);
  function show(now, said = "") {
    element.className = now;
    fill(mark, icon(SHAPES[now]));
    write(state, t(`test.state.${now}`));
    write(words, said);
    words.hidden = !said;
  }
  show("waiting");
  return { element, show };
}

const back = () => {
  const address = `/r/${encodeURIComponent(room)}${token ? `?t=${encodeURIComponent(token)}` : ""}`;
  return room ? h("a", { class: "button quiet", href: address }, t("test.back")) : null;
};

function draw() {
  const rows = Object.fromEntries(Object.keys(CHECKS).map((name) => [name, row(name)]));
  const summary = h("p", { class: "summary", role: "status" });
  const results = [];
  const start = button(null, t("test.start"), { class: "primary", onclick: run });
  const copy = button(null, t("test.copy"), { class: "quiet", hidden: true, onclick: copied });
  async function run() {
    running = true;
    start.disabled = true;
    copy.hidden = true;
    results.length = 0;
    summary.className = "summary";
    write(summary, t("test.running"));
    for (const one of Object.values(rows)) one.show("waiting");
    const server = await place(room, token);
    for (const [name, check] of Object.entries(CHECKS)) {
      rows[name].show("running");
      const result = await Promise.resolve(server)
        .then(check)
        .catch((error) => ({ state: "bad", words: String(error) }));
      results.push({ name, ...result });
      rows[name].show(result.state, result.words);
    }
    const worst = ["bad", "fair"].find((state) => results.some((one) => one.state === state)) ?? "good";
    summary.className = `summary ${worst}`;
    write(summary, t(`test.done.${worst}`));
    write(start.querySelector(".words"), t("test.again"));
    start.disabled = false;
    copy.hidden = !navigator.clipboard;
    running = false;
  }
  async function copied() {
    const lines = results.map(({ name, state, words }) => `${t(`test.${name}`)}: ${t(`test.state.${state}`)}. ${words}`);
    await navigator.clipboard.writeText([`${location.host}, ${new Date().toISOString()}`, navigator.userAgent, ...lines].join("\n"));
    announce(t("test.copied"));
    write(copy.querySelector(".words"), t("test.copied"));
  }
  const list = h("ul", { class: "checks" }, Object.values(rows).map((one) => one.element));
  const content = h(
    "div",
    { class: "testing" },
    heading(t("test.title")),
    h("p", { class: "lead" }, t("test.lead")),
    h("div", { class: "actions" }, start, copy, back()),
    summary,
    list,
  );
  where.replaceChildren(...page(tools, content));
  document.title = `${t("test.title")} – Visiopont`;
}

speak(choices().language ?? preferred());
draw();
