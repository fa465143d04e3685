// What the page knows, in one place; views watch the parts that they show.
export class Model {
  #watchers = new Set();

  constructor(values) {
    Object.assign(this, values);
  }

  /** Change some values; each watcher of a value that differs is called once, afterwards. */
  set(values) {
    const changed = Object.keys(values).filter((key) => this[key] !== values[key]);
    Object.assign(this, values);
    for (const watcher of [...this.#watchers])
      if (changed.some((key) => watcher.keys.includes(key)) && this.#watchers.has(watcher)) watcher.call(this);
  }

  /** Call `see(model)` now and whenever one of `keys` changed, until what this returns is called. */
  watch(keys, see) {
    const watcher = { keys, call: see };
    this.#watchers.add(watcher);
    see(this);
    return () => this.#watchers.delete(watcher);
  }
}
