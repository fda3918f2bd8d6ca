"use strict";
// Line charts, by Chart.js.

const DASHES = [[], [7, 3], [2, 2.5], [9, 3, 2, 3], [4, 4], [12, 3], [1, 3]];
const POINTS = ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross"];

/** Chart.js's datasets of a series: its line, and its band as two more without a name. */
function datasets(series, place) {
  const colour = theme.series[place % theme.series.length];
  const line = {
    label: series.name, data: series.values, borderColor: colour, backgroundColor: colour, borderWidth: series.thin ? 1 : 2,
    borderDash: DASHES[place % DASHES.length], pointStyle: POINTS[place % POINTS.length],
    pointRadius: series.values.length > 60 ? 0 : 4, pointBorderWidth: 1.5, spanGaps: false, order: 0,
  };
  if (!series.band) return [line];
  const edge = { borderWidth: 0, pointRadius: 0, pointHitRadius: 0, isBand: true, order: 1, backgroundColor: `${colour}26` };
  return [line, { ...edge, data: series.band.low, fill: false }, { ...edge, data: series.band.high, fill: "-1" }];
}

/** Its line and point beside each series' name. */
function lineLegend(series) {
  return make("ul", { class: "line-legend" }, ...series.map((each, place) => {
    const canvas = make("canvas", { width: 72, height: 28, "aria-hidden": "true" });
    const pen = canvas.getContext("2d");
    pen.scale(2, 2);
    pen.strokeStyle = pen.fillStyle = theme.series[place % theme.series.length];
    pen.lineWidth = 2;
    pen.setLineDash(DASHES[place % DASHES.length]);
    pen.beginPath();
    pen.moveTo(1, 7);
    pen.lineTo(35, 7);
    pen.stroke();
    pen.setLineDash([]);
    Chart.helpers.drawPoint(pen, { pointStyle: POINTS[place % POINTS.length], radius: 4, borderWidth: 1.5 }, 18, 7);
    return make("li", {}, canvas, make("bdi", {}, each.name));
  }));
}

/**
 * A figure of lines. {title, note, xTitle, yTitle, x, series: [{name, values, band: {low, high}}], from0, current,
 * onChoose(place), name, isCoded}; values are null where undefined.
 */
class LineFigure {
  constructor(parent, options) {
    this.canvas = make("canvas", { role: "img" });
    this.legend = make("div");
    this.title = make("h3");
    this.note = make("p", { class: "notes" });
    this.numbers = make("div");
    this.figure = make("figure", { class: options.class ?? "chart" }, this.title, this.legend,
      make("div", { class: "chart-box" }, this.canvas), this.note, this.numbers);
    parent.append(this.figure);
    theme.listen(() => this.draw(), this.figure);
    this.show(options);
  }

  show(options) {
    this.options = options;
    this.title.textContent = options.title;
    this.note.textContent = options.note ?? "";
    this.canvas.setAttribute("aria-label", `${options.title}: ${options.series.map((each) => each.name).join(", ")}; `
      + `${options.yTitle} by ${options.xTitle}. The numbers stand below as a table.`);
    this.numbers.replaceChildren(numbersBehind(() => this.table()));
    this.draw();
  }

  /** The numbers drawn, as a table. */
  table() {
    const { title, xTitle, x, series, yTitle, name } = this.options;
    const columns = [{ name: xTitle }];
    for (const each of series) {
      columns.push({ name: each.name });
      if (each.band) columns.push({ name: `${each.name}, low edge` }, { name: `${each.name}, high edge` });
    }
    const rows = x.map((at, place) => [at, ...series.flatMap((each) =>
      each.band ? [each.values[place], each.band.low[place], each.band.high[place]] : [each.values[place]])]);
    return { caption: `${title} (${yTitle})`, columns, rows, name: name ?? title, isCoded: this.options.isCoded };
  }

  draw() {
    const { series, x, xTitle, yTitle, from0 } = this.options;
    this.chart?.destroy();
    this.legend.replaceChildren(series.length > 1 || series[0]?.band ? lineLegend(series) : "");
    const text = { color: theme.colours.ink };
    const axis = (title) => ({
      title: { display: true, text: title, ...text }, ticks: { ...text, maxRotation: 0, autoSkip: true },
      grid: { color: theme.colours.line, borderColor: theme.colours.quiet },
    });
    this.chart = new Chart(this.canvas, {
      type: "line",
      data: { labels: x, datasets: series.flatMap(datasets) },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, devicePixelRatio: Math.max(2, devicePixelRatio || 1),
        interaction: { mode: "index", intersect: false },
        scales: { x: axis(xTitle), y: { ...axis(yTitle), beginAtZero: from0 !== false, min: this.floor() } },
        plugins: {
          legend: { display: false },
          tooltip: {
            filter: (item) => !item.dataset.isBand,
            callbacks: {
              title: (items) => `${xTitle} ${items[0]?.label ?? ""}`,
              label: (item) => `${item.dataset.label}: ${shown(item.raw, this.options.isCoded ? 3 : 6)}`,
            },
          },
        },
        onClick: (_, hits) => hits.length && this.options.onChoose?.(hits[0].index),
      },
      plugins: [{ id: "current", afterDatasetsDraw: (chart) => this.drawCurrent(chart) }],
    });
  }

  /** 0 where no line goes below it, so that no band does where its values cannot; else nothing. */
  floor() {
    const { series, from0 } = this.options;
    return from0 !== false && series.every((each) => each.values.every((value) => value === null || value >= 0)) ? 0 : undefined;
  }

  /** Moves the line that marks a place along x. */
  mark(place) {
    if (this.options.current === place) return;
    this.options.current = place;
    this.chart.draw();
  }

  drawCurrent(chart) {
    const { current } = this.options;
    if (current === undefined || current < 0) return;
    const x = chart.scales.x.getPixelForValue(current);
    const { top, bottom } = chart.chartArea;
    chart.ctx.save();
    chart.ctx.strokeStyle = theme.colours.ink;
    chart.ctx.setLineDash([3, 3]);
    chart.ctx.beginPath();
    chart.ctx.moveTo(x, top);
    chart.ctx.lineTo(x, bottom);
    chart.ctx.stroke();
    chart.ctx.restore();
  }
}
