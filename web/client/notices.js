// What is said when one can't come in, and when it is over: by what happened, the words and what to do next.
import { roomHere, testAddress } from "./door.js";
import { t } from "./i18n.js";

const testPage = () => ({ words: t("notice.test"), href: testAddress(decodeURIComponent(roomHere())) });

/** By HTTP's status of `about`. */
const REFUSED = { 401: "link", 403: "link", 404: "noRoom", 410: "noRoom", 423: "locked", 429: "busy", 503: "busy", 0: "unreachable" };
/** By SIP's status of our INVITE. */
const NOT_CALLED = { 401: "link", 403: "link", 404: "noRoom", 410: "noRoom", 423: "locked", 480: "busy", 486: "busy", 488: "media", 503: "busy", 600: "busy", 603: "declined", 606: "media" };
const SHAPES = { link: "key", noRoom: "info", locked: "lock", busy: "wait", unreachable: "warning", media: "warning", declined: "info", failed: "warning" };

const said = (kind, actions, tone = "") => ({
  shape: SHAPES[kind],
  tone,
  title: t(`notice.${kind}.title`),
  text: t(`notice.${kind}.text`),
  actions,
});

export const unsupportedNotice = () => ({ ...said("failed", []), title: t("notice.unsupported.title"), text: t("notice.unsupported.text") });

export function refusalNotice({ status }, { retry }) {
  const kind = REFUSED[status] ?? "failed";
  const actions = [{ words: t("notice.retry"), act: retry, primary: true }];
  if (kind === "unreachable" || kind === "failed") actions.push(testPage());
  return said(kind, actions, kind === "unreachable" || kind === "failed" ? "bad" : "");
}

/** `how`: left, ended, ended-all, hung-up, refused, lost, unreachable or no-media. */
export function endNotice({ how, status }, { title, back }) {
  const rejoin = { words: t("end.rejoin"), act: back, primary: true };
  const retry = { ...rejoin, words: t("notice.retry") };
  if (how === "refused") {
    const kind = NOT_CALLED[status] ?? "failed";
    return said(kind, [retry, ...(kind === "media" || kind === "failed" ? [testPage()] : [])], kind === "failed" || kind === "media" ? "bad" : "");
  }
  if (how === "unreachable") return said(how, [retry, testPage()], "bad");
  const made = {
    left: { shape: "leave", title: t("end.left.title"), text: t("end.left.text", { title }), actions: [rejoin] },
    ended: { shape: "check", title: t("end.ended.title"), text: t("end.ended.text", { title }), actions: [{ ...rejoin, words: t("end.again"), primary: false }] },
    "ended-all": { shape: "check", title: t("end.ended.title"), text: t("end.endedAll.text"), actions: [] },
    "hung-up": { shape: "leave", title: t("end.hungUp.title"), text: t("end.hungUp.text", { title }), actions: [rejoin] },
    lost: { shape: "warning", tone: "bad", title: t("end.lost.title"), text: t("end.lost.text"), steps: [1, 2, 3].map((step) => t(`end.lost.${step}`)), actions: [rejoin, testPage()] },
    "no-media": { shape: "warning", tone: "bad", title: t("end.noMedia.title"), text: t("end.noMedia.text"), steps: [1, 2].map((step) => t(`end.noMedia.${step}`)), actions: [retry, testPage()] },
  };
  return made[how];
}
