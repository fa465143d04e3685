// The language of the page: one dictionary a file, the same keys in each (tests/browser holds it).
import { en } from "./i18n/en.js";
import { fr } from "./i18n/fr.js";

const DICTIONARIES = { fr, en };
const LOCALES = { fr: "fr-CA", en: "en-CA" };
let language = "fr";

export const spoken = () => language;
export const locale = () => LOCALES[language];

/** The language that the browser asks for, if we speak it. */
export function preferred(languages = navigator.languages ?? []) {
  return languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in DICTIONARIES);
}

export function speak(wanted) {
  language = wanted in DICTIONARIES ? wanted : "fr";
  document.documentElement.lang = LOCALES[language];
  return language;
}

/** The sentence of `key`, its `{fields}` filled in. One that counts is `{one, other}`, chosen by `fields.count`. */
export function t(key, fields = {}) {
  let sentence = DICTIONARIES[language][key];
  if (sentence === undefined) throw new Error(`no words for ${key}`);
  if (typeof sentence === "object")
    sentence = sentence[new Intl.PluralRules(locale()).select(fields.count)] ?? sentence.other;
  const filled = sentence.replace(/\{(\w+)\}/g, (_, name) => String(fields[name] ?? ""));
  return language === "fr" ? typeset(filled) : filled;
}

/** Whether there are words for `key`: what servers name, we may not know yet. */
export const knows = (key) => key in DICTIONARIES[language];

/** The spaces that may not end a line (Office québécois de la langue française). */
export function typeset(text) {
  return text.replace(/(«) | (?=[»%]|:(?:\s|$))/g, (space, quote) => (quote ? `${quote}\u00a0` : "\u00a0"));
}

/** A place in a queue: 1st, 2nd; 1re, 2e (the hand, la main: feminine). */
export function ordinal(number) {
  if (language === "fr") return number === 1 ? "1re" : `${number}e`;
  const ending = { one: "st", two: "nd", few: "rd", other: "th" };
  return number + ending[new Intl.PluralRules("en-CA", { type: "ordinal" }).select(number)];
}

export const decimal = (value, digits = 1) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);

export const clock = (iso) =>
  new Intl.DateTimeFormat(locale(), { hour: "numeric", minute: "2-digit" }).format(new Date(iso));
