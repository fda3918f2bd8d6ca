"use strict";
// A heat map on a canvas: cells, labels along both axes, marks, a value under the pointer or the keyboard's cursor.

const LABEL_SPACING = 11;

/**
 * One heat map. What it shows comes as an object:
 *   columns, rows         how many cells
 *   values                row-major, NaN where undefined
 *   scale                 a Scale
 *   columnLabel, rowLabel functions of a place; may be missing
 *   columnMarks           places of columns under a triangle (sinks)
 *   hatch                 1 for each cell to hatch, or nothing
 *   lines                 lists of {column, row}: polylines over the cells, thicker where a list says isFollowed
 *   followColumn, followRow   places to frame; -1: none
 *   cellText              writes values into the cells where they fit
 */
class HeatMap {
  constructor(parent, options) {
    this.options = { square: false, maxHeight: 640, leftMargin: 84, topMargin: 80, ...options };
    this.canvas = make("canvas", { role: "img", tabindex: "0", "aria-label": options.label, class: "heat" });
    this.over = make("canvas", { class: "heat-over", "aria-hidden": "true" });
    this.box = make("div", { class: "heat-box" }, this.canvas, this.over);
    parent.append(this.box);
    this.cells = document.createElement("canvas");
    this.content = null;
    this.cursor = null;
    this.current = null;
    this.listen();
    new ResizeObserver(() => this.resized()).observe(this.box);
    theme.listen(() => this.redraw(), this.box);
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointermove", (event) => this.point(this.cellAt(event)));
    canvas.addEventListener("pointerleave", () => this.point(null));
    // Only the keyboard gives a map the focus, so that arrows go on meaning steps after a click.
    canvas.addEventListener("mousedown", (event) => event.preventDefault());
    canvas.addEventListener("click", (event) => this.choose(this.cellAt(event, true)));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.point(null));
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!this.content || event.altKey || event.ctrlKey || event.metaKey) return;
    if (moves[event.key]) {
      const [right, down] = moves[event.key];
      const from = this.cursor ?? { column: -right, row: -down };
      this.point({
        column: Math.min(this.content.columns - 1, Math.max(0, from.column + right)),
        row: Math.min(this.content.rows - 1, Math.max(0, from.row + down)),
      }, true);
    } else if (event.key === "Enter" && this.cursor) {
      this.choose(this.cursor);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  point(cell, byKeyboard = false) {
    if (cell && this.cursor && cell.column === this.cursor.column && cell.row === this.cursor.row) return;
    this.cursor = cell;
    this.drawOver();
    this.options.onPoint?.(cell, byKeyboard);
  }

  choose(cell) {
    if (cell) this.options.onChoose?.(cell);
  }

  /** The cell under the pointer; with `labels`, places along an axis count as {row} or {column} alone. */
  cellAt(event, labels = false) {
    if (!this.content || !this.plot) return null;
    const place = this.canvas.getBoundingClientRect();
    const { left, top, width, height } = this.plot;
    const x = event.clientX - place.left - left;
    const y = event.clientY - place.top - top;
    const column = Math.floor((x / width) * this.content.columns);
    const row = Math.floor((y / height) * this.content.rows);
    const inColumns = column >= 0 && column < this.content.columns;
    const inRows = row >= 0 && row < this.content.rows;
    if (inColumns && inRows) return { column, row };
    if (labels && inColumns && y < 0) return { column, row: null };
    if (labels && inRows && x < 0) return { column: null, row };
    return null;
  }

  /** The value of a cell. */
  value(cell) {
    return this.content.values[cell.row * this.content.columns + cell.column];
  }

  show(content) {
    this.content = content;
    if (this.cursor && (this.cursor.column >= content.columns || this.cursor.row >= content.rows)) this.cursor = null;
    this.redraw();
    if (this.cursor) this.options.onPoint?.(this.cursor, false);
  }

  resized() {
    const width = this.box.clientWidth;
    if (width !== this.lastWidth) this.redraw();
  }

  /** Takes in the size of the box: where the plot lies, cells of whole pixels where that wastes little. */
  layOut() {
    const { columns, rows } = this.content;
    const pixels = devicePixelRatio || 1;
    const boxWidth = this.box.clientWidth;
    this.lastWidth = boxWidth;
    const narrow = boxWidth < 480;
    const left = this.content.rowLabel ? Math.min(this.options.leftMargin, narrow ? 58 : 200) : 4;
    const top = this.content.columnLabel ? this.options.topMargin : 10;
    const spare = Math.max(40, boxWidth - left - 6);
    const whole = (size, count) => {
      const cell = Math.floor((size * pixels) / count);
      return cell >= 3 || (cell >= 1 && cell * count >= 0.8 * size * pixels) ? (cell * count) / pixels : size;
    };
    let width = whole(spare, columns);
    let height = whole(Math.min(this.options.maxHeight, this.options.height ?? this.options.maxHeight), rows);
    if (this.options.square) {
      const cell = Math.min(width / columns, height / rows);
      width = whole(cell * columns + 0.01, columns);
      height = (width / columns) * rows;
    } else if (this.options.cellHeight) {
      height = Math.min(this.options.maxHeight, Math.max(this.options.cellHeight * rows, this.options.minHeight ?? 0));
      height = whole(height, rows);
      width = Math.min(width, (this.options.cellWidth ?? Infinity) * columns);
    }
    this.plot = { left, top, width, height };
    Object.assign(this.canvas.dataset, { left, top, width, height });
    for (const canvas of [this.canvas, this.over]) {
      const across = Math.max(1, Math.round((left + width + 6) * pixels));
      const down = Math.max(1, Math.round((top + height + 8) * pixels));
      if (canvas.width !== across || canvas.height !== down) {
        canvas.width = across;
        canvas.height = down;
        canvas.style.width = `${across / pixels}px`;
        canvas.style.height = `${down / pixels}px`;
      }
    }
  }

  pen(canvas) {
    const pen = canvas.getContext("2d");
    const pixels = devicePixelRatio || 1;
    pen.setTransform(pixels, 0, 0, pixels, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.direction = "ltr";
    return pen;
  }

  redraw() {
    if (!this.content || this.box.clientWidth === 0) return;
    this.layOut();
    const pen = this.pen(this.canvas);
    const { left, top, width, height } = this.plot;
    pen.fillStyle = theme.colours.undefined;
    pen.fillRect(left, top, width, height);
    this.content.scale.paint(this.content.values, this.content.columns, this.content.rows, this.cells);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.cells, left, top, width, height);
    if (this.content.hatch) this.drawHatch(pen);
    if (this.content.cellText) this.drawValues(pen);
    if (this.content.lines) this.drawLines(pen);
    pen.strokeStyle = theme.colours.line;
    pen.lineWidth = 1;
    pen.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
    this.drawLabels(pen);
    this.drawMarks(pen);
    this.drawOver();
  }

  /** Slanting lines over the cells that are marked: to be told from colour alone. */
  drawHatch(pen) {
    const { columns, rows, hatch } = this.content;
    const { left, top, width, height } = this.plot;
    const cellWidth = width / columns;
    const cellHeight = height / rows;
    pen.save();
    pen.beginPath();
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (hatch[row * columns + column] !== 1) continue;
        let end = column;
        while (end + 1 < columns && hatch[row * columns + end + 1] === 1) end++;
        pen.rect(left + column * cellWidth, top + row * cellHeight, (end + 1 - column) * cellWidth, cellHeight);
        column = end;
      }
    }
    pen.clip();
    for (const [colour, thickness] of [[theme.colours.halo, 2.2], [theme.colours.ink, 0.9]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = thickness;
      pen.beginPath();
      for (let start = -height; start < width; start += 5) {
        pen.moveTo(left + start, top + height);
        pen.lineTo(left + start + height, top);
      }
      pen.stroke();
    }
    pen.restore();
  }

  drawValues(pen) {
    const { columns, rows, values, scale } = this.content;
    const { left, top, width, height } = this.plot;
    const cellWidth = width / columns;
    const cellHeight = height / rows;
    if (cellWidth < 34 || cellHeight < 13) return;
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let place = 0; place < values.length; place++) {
      const value = values[place];
      const text = Number.isNaN(value) ? "–" : shown(value, 3);
      pen.fillStyle = Number.isNaN(value) ? theme.colours.ink : scale.inkOn(value);
      pen.fillText(text, left + ((place % columns) + 0.5) * cellWidth, top + (Math.floor(place / columns) + 0.5) * cellHeight);
    }
  }

  drawLines(pen) {
    const { columns, rows, lines } = this.content;
    const { left, top, width, height } = this.plot;
    const x = (point) => left + ((point.column + 0.5) / columns) * width;
    const y = (point) => top + ((point.row + 0.5) / rows) * height;
    pen.lineJoin = "round";
    for (const [colour, thickness, radius] of [[theme.colours.halo, 4, 4], [theme.colours.mark, 1.8, 2.6]]) {
      pen.strokeStyle = colour;
      pen.fillStyle = colour;
      for (const line of lines) {
        pen.lineWidth = line.isFollowed ? 2 * thickness : thickness;
        pen.beginPath();
        line.forEach((point, place) => (place ? pen.lineTo(x(point), y(point)) : pen.moveTo(x(point), y(point))));
        pen.stroke();
        line.forEach((point, place) => {
          const before = line[place - 1];
          const after = line[place + 1];
          if (before && after && before.column === point.column && after.column === point.column) return;
          pen.beginPath();
          pen.arc(x(point), y(point), radius, 0, 2 * Math.PI);
          pen.fill();
        });
      }
    }
  }

  /** Labels of as many places as there is room for, those followed always. */
  drawLabels(pen) {
    const { columns, rows, columnLabel, rowLabel, followColumn = -1, followRow = -1 } = this.content;
    pen.font = "10.5px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const { width, height } = this.plot;
    if (rowLabel) {
      this.eachLabel(rows, height, followRow, (row, isFollowed) => this.drawRowLabel(pen, row, isFollowed));
    }
    if (columnLabel) {
      this.eachLabel(columns, width, followColumn, (column, isFollowed) => this.drawColumnLabel(pen, column, isFollowed));
    }
  }

  eachLabel(count, length, followed, action) {
    const every = Math.max(1, Math.ceil((LABEL_SPACING * count) / length));
    for (let place = 0; place < count; place += every) {
      if (followed < 0 || Math.abs(place - followed) >= every || place === followed) action(place, place === followed);
    }
    if (followed >= 0 && followed % every !== 0) action(followed, true);
  }

  drawRowLabel(pen, row, isFollowed) {
    const { left, top, height } = this.plot;
    pen.textAlign = "right";
    pen.fillStyle = isFollowed ? theme.colours.mark : theme.colours.ink;
    pen.fillText(this.content.rowLabel(row), left - 5, top + ((row + 0.5) / this.content.rows) * height, left - 8);
  }

  drawColumnLabel(pen, column, isFollowed) {
    const { left, top, width } = this.plot;
    const flat = width / this.content.columns > 44;
    pen.save();
    pen.translate(left + ((column + 0.5) / this.content.columns) * width, top - (this.content.columnMarks ? 12 : 6));
    if (!flat) pen.rotate(-Math.PI / 2);
    pen.textAlign = flat ? "center" : "left";
    pen.fillStyle = isFollowed ? theme.colours.mark : theme.colours.ink;
    pen.fillText(this.content.columnLabel(column), 0, flat ? -4 : 0, flat ? undefined : top - 16);
    pen.restore();
  }

  /** Triangles over marked columns, frames around what is followed. */
  drawMarks(pen) {
    const { columns, rows, columnMarks, followColumn = -1, followRow = -1 } = this.content;
    const { left, top, width, height } = this.plot;
    pen.fillStyle = theme.colours.ink;
    for (const column of columnMarks ?? []) {
      const x = left + ((column + 0.5) / columns) * width;
      pen.beginPath();
      pen.moveTo(x - 4, top - 9);
      pen.lineTo(x + 4, top - 9);
      pen.lineTo(x, top - 2);
      pen.fill();
    }
    const frame = (x, y, across, down) => {
      for (const [colour, thickness] of [[theme.colours.halo, 4], [theme.colours.mark, 2]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = thickness;
        pen.strokeRect(x, y, across, down);
      }
    };
    if (followColumn >= 0) frame(left + (followColumn / columns) * width - 1, top - 1, width / columns + 2, height + 2);
    if (followRow >= 0) frame(left - 1, top + (followRow / rows) * height - 1, width + 2, height / rows + 2);
  }

  /** Marks the row of the step looked at, and its column where it has one. */
  markCurrent(current) {
    this.current = current;
    this.drawOver();
  }

  drawCurrent(pen) {
    const { columns, rows } = this.content;
    const { left, top, width, height } = this.plot;
    const { row = -1, column = -1 } = this.current;
    const dashed = (x, y, across, down) => {
      for (const [colour, dash] of [[theme.colours.halo, []], [theme.colours.ink, [4, 3]]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = 1.5;
        pen.setLineDash(dash);
        pen.strokeRect(x, y, across, down);
      }
      pen.setLineDash([]);
    };
    if (row >= 0) dashed(left, top + (row / rows) * height, width, height / rows);
    if (column >= 0) dashed(left + (column / columns) * width, top, width / columns, height);
  }

  /** Row and column under the pointer, with their labels. */
  drawOver() {
    if (!this.plot || !this.content) return;
    const pen = this.pen(this.over);
    if (this.current) this.drawCurrent(pen);
    if (!this.cursor) return;
    const { columns, rows } = this.content;
    const { left, top, width, height } = this.plot;
    const { column, row } = this.cursor;
    pen.strokeStyle = theme.colours.ink;
    pen.lineWidth = 1;
    const x = left + (column / columns) * width;
    const y = top + (row / rows) * height;
    pen.globalAlpha = 0.55;
    pen.strokeRect(x - 0.5, top, width / columns + 1, height);
    pen.strokeRect(left, y - 0.5, width, height / rows + 1);
    pen.globalAlpha = 1;
    pen.lineWidth = 2;
    pen.strokeRect(x - 1, y - 1, width / columns + 2, height / rows + 2);
    pen.font = "600 11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    if (this.content.rowLabel) {
      pen.fillStyle = theme.colours.paper;
      pen.fillRect(0, y + height / rows / 2 - 8, left - 2, 16);
      this.drawRowLabel(pen, row, false);
    }
    if (this.content.columnLabel) {
      const middle = x + width / columns / 2;
      const flat = width / columns > 44;
      pen.fillStyle = theme.colours.paper;
      if (flat) pen.fillRect(x, 0, width / columns, top - 10);
      else pen.fillRect(middle - 8, 0, 16, top - (this.content.columnMarks ? 10 : 3));
      this.drawColumnLabel(pen, column, false);
    }
  }
}
