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

/** Data that a server answers for, relative to the page's address. */
class RemoteSource {
  async answer(path) {
    let response;
    try {
      response = await fetch(new URL(path, document.baseURI), { credentials: "same-origin" });
    } catch (error) {
      throw new Error(`${path}: the server does not answer (${error.message}); is \`attntrace serve\` still running?`);
    }
    if (!response.ok) throw new Error(`${path}: the server answers ${response.status} ${response.statusText}`.trim());
    return response;
  }

  async json(path) {
    return (await this.answer(`${path}.json`)).json();
  }

  async bytes(path) {
    return (await this.answer(path)).arrayBuffer();
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

  /** Promise of the block. */
  get(path) {
    const block = this.peek(path);
    if (block) return Promise.resolve(block);
    let promise = this.underWay.get(path);
    if (!promise) {
      promise = this.source.bytes(path).then((buffer) => this.keep(path, decodeBlock(buffer)))
        .finally(() => this.underWay.delete(path));
      this.underWay.set(path, promise);
    }
    return promise;
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
    this.prefetching = 0;
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

  block(trace, path) {
    return this.cache.get(`block/${trace}/${path}`);
  }

  /** Fetches blocks that may soon be wanted, a few at a time; what fails is left to whoever asks for it. */
  prefetch(trace, paths) {
    this.wanted = paths.map((path) => `block/${trace}/${path}`).filter((path) => !this.cache.peek(path));
    const next = () => {
      this.prefetching -= 1;
      start();
    };
    const start = () => {
      while (this.prefetching < PREFETCHES && this.wanted.length > 0) {
        this.prefetching += 1;
        this.cache.get(this.wanted.shift()).then(next, next);
      }
    };
    start();
  }
}
