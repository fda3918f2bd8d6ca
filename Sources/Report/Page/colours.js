"use strict";
// A sequential scale, even in perceived lightness: worked out in OKLab, from the colour of the paper to the far end.

/** Red, green, blue (0...255) of a colour in OKLCh (https://bottosson.github.io/posts/oklab/). */
function fromOklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((linear) => {
    const bounded = Math.min(1, Math.max(0, linear));
    return Math.round(255 * (bounded <= 0.0031308 ? 12.92 * bounded : 1.055 * bounded ** (1 / 2.4) - 0.055));
  });
}

/** 256 colours from nothing to most, packed for ImageData; nothing is the paper's colour in either theme. */
const ramp = {
  built: "",
  packed: new Uint32Array(256),
  css: [],
  lightness: [],

  refresh() {
    if (this.built === theme.name) return;
    this.built = theme.name;
    const dark = theme.name === "dark";
    for (let place = 0; place < 256; place++) {
      const part = place / 255;
      const lightness = dark ? 0.2 + 0.75 * part : 0.985 - 0.74 * part;
      // Yellow-green by way of blue-green to violet in light, the other way round in dark: lightness alone tells the order.
      const hue = dark ? 285 - 190 * part : 110 + 185 * part;
      const chroma = 0.015 + 0.13 * Math.sin(Math.PI * Math.min(1, part * 0.9 + 0.05));
      const [red, green, blue] = fromOklch(lightness, chroma, hue);
      this.packed[place] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      this.css[place] = `rgb(${red} ${green} ${blue})`;
      this.lightness[place] = lightness;
    }
  },
};

/** Places values on the ramp. kind: "linear", "root" (square root) or "log" (four decades below the top). */
class Scale {
  constructor(kind, low, high) {
    this.kind = kind;
    this.low = low;
    this.high = high > low ? high : low + 1;
  }

  /** Part of the ramp, 0...1, of a value. */
  part(value) {
    const part = (value - this.low) / (this.high - this.low);
    if (part <= 0) return 0;
    if (part >= 1) return 1;
    if (this.kind === "root") return Math.sqrt(part);
    return this.kind === "log" ? Math.max(0, 1 + Math.log10(part) / 4) : part;
  }

  /** Value at a part of the ramp. */
  value(part) {
    const linear = this.kind === "root" ? part * part : this.kind === "log" ? 10 ** (4 * (part - 1)) : part;
    return this.low + linear * (this.high - this.low);
  }

  css(value) {
    ramp.refresh();
    return ramp.css[Math.round(255 * this.part(value))];
  }

  /** Ink that can be read on the colour of a value. */
  inkOn(value) {
    ramp.refresh();
    return ramp.lightness[Math.round(255 * this.part(value))] > 0.62 ? "#14161a" : "#ffffff";
  }

  /** Paints values (row-major; NaN stays see-through) as an image of one pixel a cell. */
  paint(values, columns, rows, canvas) {
    ramp.refresh();
    canvas.width = columns;
    canvas.height = rows;
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    // Up to 1,024 steps along the values spare the square root or logarithm of each cell.
    const table = new Uint32Array(4096);
    for (let place = 0; place < 4096; place++) {
      const value = this.low + ((place + 0.5) / 4096) * (this.high - this.low);
      table[place] = ramp.packed[Math.round(255 * this.part(value))];
    }
    table[0] = this.kind === "log" ? ramp.packed[0] : table[0];
    const factor = 4096 / (this.high - this.low);
    for (let place = 0; place < pixels.length; place++) {
      const value = values[place];
      if (value !== value) continue;
      const at = (value - this.low) * factor;
      pixels[place] = at < 8 ? ramp.packed[Math.round(255 * this.part(value))] : table[at >= 4095 ? 4095 : at | 0];
    }
    pen.putImageData(image, 0, 0);
    return canvas;
  }

  /** Writes the legend into an element. */
  legend(element, title) {
    ramp.refresh();
    const parts = [0, 0.25, 0.5, 0.75, 1];
    const bar = make("span", { class: "legend-bar", "aria-hidden": "true" });
    bar.style.background = `linear-gradient(to right, ${ramp.css.filter((_, place) => place % 15 === 0).join(",")})`;
    const ticks = make("span", { class: "legend-ticks" },
      ...parts.map((part) => make("span", {}, shown(this.value(part), 2))));
    const gap = make("span", { class: "legend-gap" }, make("span", { class: "legend-box", "aria-hidden": "true" }), "not seen");
    element.replaceChildren(make("span", { class: "legend-title" }, title),
      make("span", { class: "legend-scale" }, bar, ticks), gap);
    element.classList.add("legend");
  }
}

/** Largest defined value of a list; 0 where there is none. */
function largest(values) {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}
