"use strict";
// Where page, analyses and blocks come from: out of this file, or over HTTP from beside it.

/** Bytes of base64; by the browser's own decoder where it has one, which is many times as fast. */
function bytesOfBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let place = 0; place < characters.length; place++) bytes[place] = characters.charCodeAt(place);
  return bytes;
}

/** Data that lies in the page itself. */
class EmbeddedSource {
  async json(path) {
    const element = byId(path);
    if (!element) throw new Error(`${path} is not in this page`);
    return JSON.parse(element.textContent);
  }

  async bytes(path) {
    const element = byId(path);
    if (!element) throw new Error(`${path} is not in this page`);
    const inflated = new Blob([bytesOfBase64(element.textContent)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(inflated).arrayBuffer();
  }
}

/** Times that a busy server is asked again, and the seconds waited at most in between. */
const RETRIES = { times: 5, longest: 5 };

/** Data that a server answers for, relative to the page's address. */
class RemoteSource {
  /** The server's answer, asked for again where the server is busy; none where the signal says that nobody waits any more. */
  async answer(path, signal) {
    for (let asked = 0; ; asked++) {
      const response = await this.ask(path, signal);
      if (response.ok) return response;
      if (response.status !== 503 || asked === RETRIES.times) throw new Error(`${path}: ${await this.reason(response)}`);
      const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, RETRIES.longest);
      await new Promise((done) => { setTimeout(done, 1000 * seconds); });
      signal?.throwIfAborted();
    }
  }

  async ask(path, signal) {
    try {
      return await fetch(new URL(path, document.baseURI), { credentials: "same-origin", signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Error(`${path}: the server does not answer (${error.message}); is \`attntrace serve\` still running?`);
    }
  }

  /** Why there is no answer, in the server's own words where it has some. */
  async reason(response) {
    const isJSON = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
    if (isJSON) return (await response.json()).error;
    return `the server answers ${response.status} ${response.statusText}`.trim();
  }

  async json(path) {
    return (await this.answer(`${path}.json`)).json();
  }

  async bytes(path, signal) {
    return (await this.answer(path, signal)).arrayBuffer();
  }
}

/** Blocks that were asked for last, up to a number of bytes. */
class BlockCache {
  constructor(source, limit = 64 << 20) {
    this.source = source;
    this.limit = limit;
    this.bytes = 0;
    this.done = new Map();
    this.underWay = new Map();
  }

  /** The block if it is at hand, else undefined. */
  peek(path) {
    const block = this.done.get(path);
    if (block) {
      this.done.delete(path);
      this.done.set(path, block);
    }
    return block;
  }

  /** Promise of the block. It is fetched no further once all who asked for it have let go of it by their signals. */
  get(path, signal) {
    const block = this.peek(path);
    if (block) return Promise.resolve(block);
    const fetching = this.underWay.get(path) ?? this.fetch(path);
    fetching.waiting += 1;
    signal?.addEventListener("abort", () => {
      fetching.waiting -= 1;
      if (fetching.waiting > 0) return;
      this.end(path, fetching);
      fetching.controller.abort();
    }, { once: true });
    return fetching.promise;
  }

  fetch(path) {
    const fetching = { controller: new AbortController(), waiting: 0 };
    fetching.promise = this.source.bytes(path, fetching.controller.signal)
      .then((buffer) => this.keep(path, decodeBlock(buffer)))
      .finally(() => this.end(path, fetching));
    this.underWay.set(path, fetching);
    return fetching;
  }

  end(path, fetching) {
    if (this.underWay.get(path) === fetching) this.underWay.delete(path);
  }

  keep(path, block) {
    this.done.set(path, block);
    this.bytes += block.bytes;
    for (const [oldest, old] of this.done) {
      if (this.bytes <= this.limit || oldest === path) break;
      this.done.delete(oldest);
      this.bytes -= old.bytes;
    }
    return block;
  }
}

/** Blocks that are fetched ahead at a time. */
const PREFETCHES = 3;

/** What the page asks: page(), analysis(), comparison(), block(). */
class Source {
  constructor() {
    this.from = byId("page") ? new EmbeddedSource() : new RemoteSource();
    this.cache = new BlockCache(this.from);
    this.analyses = new Map();
    this.wanted = [];
    this.ahead = new Map();
  }

  /** Runs something that reads: at once where all lies in the page (so that it is there in print), else when it is near. */
  whenWanted(element, action) {
    if (this.from instanceof EmbeddedSource) action();
    else whenNear(element, action);
  }

  page() {
    return this.from.json("page");
  }

  analysis(trace) {
    if (!this.analyses.has(trace)) this.analyses.set(trace, this.from.json(`analysis/${trace}`));
    return this.analyses.get(trace);
  }

  comparison() {
    return this.from.json("comparison");
  }

  peek(trace, path) {
    return this.cache.peek(`block/${trace}/${path}`);
  }

  /** Promise of a block; the signal, if any, says that it is not waited for any more. */
  block(trace, path, signal) {
    return this.cache.get(`block/${trace}/${path}`, signal);
  }

  /**
   * Fetches blocks that may soon be wanted, a few at a time, and lets go of those that were to be fetched before; what fails
   * is left to whoever asks for it.
   */
  prefetch(trace, paths) {
    const wanted = paths.map((path) => `block/${trace}/${path}`).filter((path) => !this.cache.peek(path));
    for (const [path, controller] of [...this.ahead].filter(([path]) => !wanted.includes(path))) {
      this.ahead.delete(path);
      controller.abort();
    }
    this.wanted = wanted.filter((path) => !this.ahead.has(path));
    this.startPrefetches();
  }

  startPrefetches() {
    while (this.ahead.size < PREFETCHES && this.wanted.length > 0) {
      const path = this.wanted.shift();
      const controller = new AbortController();
      const next = () => {
        if (this.ahead.get(path) === controller) this.ahead.delete(path);
        this.startPrefetches();
      };
      this.ahead.set(path, controller);
      this.cache.get(path, controller.signal).then(next, next);
    }
  }
}
