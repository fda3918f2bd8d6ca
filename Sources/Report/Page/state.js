"use strict";
// What is being looked at. One object; whoever draws listens to it, whoever is clicked changes it.

/** Trace, step, layer, head and followed token, and the scale of the maps; kept in the address of the page. */
class State {
  constructor(page) {
    this.page = page;
    this.trace = 0;
    this.step = 0;
    this.layer = 0;
    this.head = "mean";
    this.follow = null;
    this.scale = "root";
    this.stretch = false;
    this.listeners = [];
    this.changed = new Set();
    this.frame = 0;
    this.rememberSoon = whenQuiet(() => this.remember(), 300);
  }

  /** Whether the trace looked at has any step; of one that has none there is nothing to draw. */
  get hasSteps() {
    return this.page.traces[this.trace].steps.length > 0;
  }

  /**
   * Calls action(changed names) in the frame after something of `names` has changed. While a trace without steps is looked
   * at, only those are called that ask for it.
   */
  listen(names, action, { evenWithoutSteps = false } = {}) {
    this.listeners.push({ names, action, evenWithoutSteps });
  }

  /** Changes what is named; steps, layers and heads are recorded indices. */
  set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (this[name] === value) continue;
      this[name] = value;
      this.changed.add(name);
    }
    if (this.changed.size === 0 || this.frame) return;
    this.frame = requestAnimationFrame(() => this.announce());
  }

  announce() {
    this.frame = 0;
    const changed = this.changed;
    this.changed = new Set();
    for (const { names, action, evenWithoutSteps } of this.listeners) {
      if (!this.hasSteps && !evenWithoutSteps) continue;
      if (names.some((name) => changed.has(name))) action(changed);
    }
    this.rememberSoon();
  }

  /** Writes the state into the address. */
  remember() {
    const parts = { t: this.trace, s: this.step ?? 0, l: this.layer, h: this.head };
    if (this.follow !== null) parts.f = this.follow;
    if (this.scale !== "root") parts.c = this.scale;
    if (this.stretch) parts.x = 1;
    const fragment = `#${new URLSearchParams(parts)}`;
    if (fragment !== location.hash) history.replaceState(null, "", fragment);
  }

  /** What the address says, as far as the page has it. */
  recall(page) {
    const parts = new URLSearchParams(location.hash.slice(1));
    const number = (name) => (/^\d+$/.test(parts.get(name) ?? "") ? Number(parts.get(name)) : null);
    const trace = page.traces[number("t") ?? 0] ? number("t") ?? 0 : 0;
    const of = page.traces[trace];
    const among = (list, value, other) => (list.includes(value) ? value : other);
    const follow = number("f");
    return {
      trace,
      step: among(of.steps, number("s"), of.steps[0]),
      layer: among(of.layers, number("l"), of.layers[0]),
      head: among(of.heads, number("h"), "mean"),
      follow: follow !== null && follow < of.positions ? follow : null,
      scale: among(["root", "linear", "log"], parts.get("c"), "root"),
      stretch: parts.get("x") === "1",
    };
  }
}

/** What every view is given: the page's data, where more comes from, and what is looked at. */
class Context {
  constructor(page, source, state) {
    this.page = page;
    this.source = source;
    this.state = state;
  }

  get trace() {
    return this.page.traces[this.state.trace];
  }

  block(path) {
    return this.source.block(this.state.trace, path);
  }

  peek(path) {
    return this.source.peek(this.state.trace, path);
  }

  /** Loads something and hands it on, unless something else was wanted meanwhile; says on the page what fails. */
  load(promise, isWanted, action) {
    promise.then((value) => {
      if (isWanted()) action(value);
    }).catch((error) => complain(`Could not load: ${error.message}`));
  }

  /** Path of what keys receive in the layer and head looked at; means over heads where heads were not kept. */
  receivedPath(layer = this.state.layer, head = this.state.head) {
    const kept = this.trace.blocks.received?.heads ?? [];
    return head !== "mean" && kept.includes(head) ? `received/${layer}/${head}` : `received/${layer}`;
  }
}

/** The greatest of an ascending list that is no greater; the first where all are. */
function atOrBefore(list, value) {
  let found = list[0];
  for (const each of list) {
    if (each > value) break;
    found = each;
  }
  return found;
}
