// Before the call: one's name, one's picture and voice, and the button that joins.
import { announce, button, fill, h, icon, write } from "../dom.js";
import { t } from "../i18n.js";
import { choices, choose } from "../memory.js";
import { deviceFields, deviceSwitch } from "./devices.js";
import { heading, page } from "./frame.js";

/** What is over the preview while there is no picture: why, and what one can do. */
function cover(devices, { ask, skip, wanted, video }) {
  const { cameraState: camera, microphoneState: microphone } = devices;
  if (camera === "unasked" && microphone === "unasked")
    return [
      icon("info"),
      h("h2", {}, t(video ? "permission.title" : "permission.titleVoice")),
      h("p", {}, t(video ? "permission.text" : "permission.textVoice")),
      h("div", { class: "actions" }, button("check", t("permission.ask"), { class: "primary", onclick: ask }), button(null, t("permission.skip"), { class: "quiet", onclick: skip })),
    ];
  if (microphone === "refused")
    return [icon("mic-off"), h("h2", {}, t("refused.title")), h("p", {}, t("refused.text")), button(null, t("refused.again"), { class: "quiet", onclick: ask })];
  if (!video) return [icon("sound"), h("p", {}, t("stage.soundOnly"))];
  if (camera === "on") return [];
  const state = ["refused", "missing", "busy"].includes(camera) && wanted() ? camera : "off";
  return [icon("camera-off"), h("p", {}, t(`device.camera.${state}`))];
}

function preview(devices, state, video) {
  const picture = h("video", { autoplay: true, muted: true, playsInline: true, class: "mirror", "aria-label": t("preview.label") });
  const over = h("div", { class: "cover" });
  const ask = async () => {
    await devices.open({ camera: video && state.cameraOn });
    const { microphoneState } = devices;
    if (microphoneState === "on") announce(t("permission.given"));
    else announce(t(`device.microphone.${microphoneState}`), { urgent: true });
  };
  const skip = () => devices.set({ microphoneState: "off", cameraState: "off" });
  const switches = [
    deviceSwitch("microphone", devices, {
      isOn: () => state.microphoneOn && Boolean(devices.microphone),
      async toggle() {
        state.microphoneOn = !(state.microphoneOn && devices.microphone);
        if (state.microphoneOn && !devices.microphone) await devices.start("microphone");
        choose({ microphoneOn: state.microphoneOn });
        devices.set({ microphoneState: devices.microphone ? "on" : devices.microphoneState, list: [...devices.list] });
      },
      watched: (see) => devices.watch(["list"], see),
    }),
  ];
  if (video)
    switches.push(
      deviceSwitch("camera", devices, {
        isOn: () => Boolean(devices.camera),
        async toggle() {
          state.cameraOn = !devices.camera;
          if (state.cameraOn) await devices.start("camera");
          else devices.stop("camera");
          choose({ cameraOn: state.cameraOn });
        },
      }),
    );
  const bar = h("div", { class: "preview-bar" }, switches.map(({ element }) => element));
  const stop = devices.watch(["camera", "cameraState", "microphoneState"], ({ camera, cameraState, microphoneState }) => {
    picture.srcObject = camera ? new MediaStream([camera]) : null;
    picture.hidden = !camera;
    fill(over, cover(devices, { ask, skip, wanted: () => state.cameraOn, video }));
    over.hidden = over.childElementCount === 0;
    bar.hidden = cameraState === "unasked" && microphoneState === "unasked";
  });
  const element = h("div", { class: "preview" }, picture, over, bar);
  return { element, ask, close: () => [stop, ...switches.map((one) => one.stop)].forEach((end) => end()) };
}

/** `join({name, microphoneOn, cameraOn})`; `asHost()` asks for the host's code, where there is one. */
export function prejoinView({ tools, about, devices, join, asHost }) {
  const known = choices();
  const state = { microphoneOn: known.microphoneOn ?? true, cameraOn: known.cameraOn ?? true };
  const seen = preview(devices, state, about.video);
  const fields = deviceFields(devices, { video: about.video });
  const error = h("p", { class: "error", id: "name-error", role: "alert" });
  const name = h("input", {
    id: "name",
    name: "name",
    autocomplete: "name",
    maxLength: 60,
    required: true,
    value: about.name ?? known.name ?? "",
    "aria-describedby": "name-error",
  });
  const submit = h("button", { type: "submit" });
  const mode = h("p", { class: "hint center" });
  const details = h("details", { class: "fold" }, h("summary", {}, icon("gear"), h("span", {}, t(about.video ? "device.title" : "device.titleVoice")), icon("down")), fields.element);
  details.open = matchMedia("(min-width: 60rem)").matches;
  const form = h(
    "form",
    {
      noValidate: true,
      onsubmit(event) {
        event.preventDefault();
        const given = name.value.trim();
        if (!given) {
          write(error, t("name.empty"));
          name.setAttribute("aria-invalid", "true");
          return name.focus();
        }
        choose({ name: given });
        join({ name: given, microphoneOn: state.microphoneOn && Boolean(devices.microphone), cameraOn: Boolean(devices.camera) });
      },
    },
    h("div", { class: "field" }, h("label", { htmlFor: "name" }, t("name.label")), name, error),
    details,
    h("div", { class: "join" }, submit, mode, asHost && button("key", t("pin.host"), { class: "link", onclick: asHost })),
  );
  const stop = devices.watch(["microphone", "camera", "microphoneState"], ({ microphone, microphoneState }) => {
    write(submit, t(microphone ? "join" : "join.listen"));
    write(mode, microphone || microphoneState === "unasked" ? (about.lobby ? t("join.lobby") : "") : t("join.listenHint"));
    details.hidden = microphoneState === "unasked";
    if (microphoneState === "refused") details.open = false;
    submit.className = `${microphoneState === "unasked" ? "quiet" : "primary"} wide`; // one thing first: the permission
  });
  devices.permission().then((granted) => granted === "granted" && devices.microphoneState === "unasked" && seen.ask());
  devices.look();
  const intro = h("div", { class: "intro" }, h("p", { class: "kicker" }, t("prejoin.kicker")), heading(about.title || about.room));
  const content = h("div", { class: "prejoin" }, intro, seen.element, h("section", { class: "card", "aria-label": t("prejoin.kicker") }, form));
  return {
    element: page(tools, content),
    close() {
      stop();
      seen.close();
      fields.close();
    },
  };
}
