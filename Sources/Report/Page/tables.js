"use strict";
// Tables that can be sorted, and their numbers as a file.

const ROWS_SHOWN = 200;

/** Offers text as a file. */
function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = make("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Rows as CSV (RFC 4180); undefined is an empty field. */
function csv(columns, rows) {
  const field = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

/** A value for a person; of tokens every character, also spaces. */
function cellContent(value, column, isCoded) {
  if (typeof value !== "string") return shown(value, isCoded ? 3 : 6);
  return make("bdi", { class: value.length > 40 ? "long" : null }, column.name === "token" ? visible(value) : visible(value).replaceAll("·", " "));
}

/**
 * A table. columns: [{name, unit}], rows: lists of values; the first column heads its row. Sorted by a click on a
 * column's name; long ones show their first rows until asked for all. isCoded: numbers that are no integers are of 8-bit codes.
 */
function dataTable({ caption, columns, rows, name, isCoded = false }) {
  let sorted = rows;
  let limit = ROWS_SHOWN;
  const body = make("tbody");
  const more = make("button", { type: "button", class: "no-print" });
  // Paper has no room for columns that say nothing.
  const isEmpty = columns.map((_, place) => rows.every((row) => row[place] === null || row[place] === undefined));
  const classes = (place) => [isNumber[place] ? "number" : "", isEmpty[place] ? "all-undefined" : ""].join(" ").trim() || null;
  const isNumber = columns.map((_, place) => rows.some((row) => typeof row[place] === "number"));
  const fill = () => {
    body.replaceChildren(...sorted.slice(0, limit).map((row) => make("tr", {}, ...row.map((value, place) =>
      make(place ? "td" : "th", { scope: place ? null : "row", class: classes(place) }, cellContent(value, columns[place], isCoded))))));
    more.hidden = sorted.length <= limit;
    more.textContent = `Show all ${sorted.length} rows`;
  };
  more.addEventListener("click", () => { limit = Infinity; fill(); });
  const heads = columns.map((column, place) => {
    const button = make("button", { type: "button", title: "Sort" }, column.unit && column.unit !== column.name ? `${words(column.name)} (${column.unit})` : words(column.name));
    const head = make("th", { scope: "col", class: classes(place) }, button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === (isNumber[place] ? "descending" : "ascending") ? !isNumber[place] : isNumber[place];
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sorted = [...rows].sort((a, b) => compareValues(a[place], b[place], down));
      fill();
    });
    return head;
  });
  fill();
  const save = make("button", { type: "button", class: "no-print" }, "CSV");
  save.title = isCoded ? "Save these numbers as CSV: values of 8-bit codes" : "Save these numbers as CSV, in full precision";
  save.addEventListener("click", () => download(`${name ?? "table"}.csv`, csv(columns.map((each) => each.name), rows)));
  return make("div", { class: "table-box" },
    make("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", {}, make("caption", {}, isCoded ? `${caption}; values of 8-bit codes` : caption), make("thead", {}, make("tr", {}, ...heads)), body)),
    make("p", { class: "table-foot" }, save, more));
}

/** Order of two values; undefined ones last. */
function compareValues(a, b, down) {
  const gone = (value) => value === null || value === undefined;
  if (gone(a) || gone(b)) return gone(a) - gone(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return down ? -order : order;
}

/** The numbers behind a figure, made when first opened. `make` gives what dataTable takes. */
function numbersBehind(makeTable) {
  const details = make("details", { class: "numbers" }, make("summary", {}, "Numbers"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(dataTable(makeTable()));
  });
  return details;
}
