// A table in place of the CSV text of a template's rows. The text area stays what the form sends: the table is read
// from it and written back before it goes, and whoever prefers the text has it one press away.

const PAGE = 50; // rows shown at one time
const MOST_UNDO = 50;

/** Read CSV into [[cell]]; throws an Error with a sentence when it is no table. */
export function parseCsv(text) {
  const lines = text.replace(/\r\n?/g, "\n").replace(/^\uFEFF/, "");
  const header = lines.trimStart().split("\n", 1)[0];
  const delimiter = [",", ";", "\t"].reduce((best, sign) =>
    header.split(sign).length > header.split(best).length ? sign : best,
  );
  return readRecords(lines, delimiter);
}

function readRecords(text, delimiter) {
  const records = [];
  let record = [];
  let at = 0;
  while (at <= text.length) {
    let cell = "";
    if (text[at] === '"') {
      for (;;) {
        const close = text.indexOf('"', at + 1);
        if (close < 0) throw new Error("A quotation mark is never closed.");
        cell += text.slice(at + 1, close);
        at = close + 1;
        if (text[at] !== '"') break;
        cell += '"';
      }
      if (at < text.length && text[at] !== delimiter && text[at] !== "\n") {
        throw new Error(`After a closing quotation mark stands “${text.slice(at, at + 10)}”.`);
      }
    } else {
      let end = at;
      while (end < text.length && text[end] !== delimiter && text[end] !== "\n") end += 1;
      cell = text.slice(at, end);
      at = end;
    }
    record.push(cell.trim());
    const isEnd = at >= text.length;
    if (isEnd || text[at] === "\n") {
      if (record.some(Boolean)) records.push(record);
      record = [];
    }
    at += 1;
    if (isEnd) break;
  }
  return records;
}

export function writeCsv(records) {
  const quoted = (cell) => (/[",;\t\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return records.map((record) => record.map(quoted).join(",")).join("\n") + "\n";
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function button(text, label, act) {
  const made = element("button", { type: "button", textContent: text, title: label });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

class RowEditor {
  constructor(textarea) {
    this.textarea = textarea;
    this.page = 0;
    this.filter = "";
    this.history = [];
    this.isTable = false;
    this.build();
    textarea.form.addEventListener("submit", () => this.store());
    textarea.addEventListener("input", () => this.tellColumns());
    this.showTable();
  }

  build() {
    this.toggle = button("", "", () => (this.isTable ? this.showText() : this.showTable()));
    this.search = element("input", { type: "search", placeholder: "Find in the rows" });
    this.search.setAttribute("aria-label", "Find in the rows");
    this.search.addEventListener("input", () => {
      this.filter = this.search.value.trim().toLowerCase();
      this.page = 0;
      this.draw();
    });
    this.search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
    this.undoButton = button("Undo", "Undo the last change of the table", () => this.undo());
    this.tools = element(
      "span",
      { className: "row-tools" },
      button("Add row", "Add a row at the end", () => this.addRow(this.rows.length)),
      button("Add column", "Add a column at the end", () => this.addColumn()),
      this.undoButton,
      this.search,
    );
    this.count = element("span", { className: "quiet" });
    this.count.setAttribute("role", "status");
    this.pager = element("span", { className: "row-pager" });
    this.table = element("table", { className: "row-table" });
    this.scroll = element("div", { className: "scroll" }, this.table);
    this.trouble = element("p", { className: "errornote-inline" });
    this.box = element(
      "div",
      { className: "row-editor" },
      element("div", { className: "row-bar" }, this.tools, this.toggle),
      this.trouble,
      this.scroll,
      element("div", { className: "row-bar" }, this.count, this.pager),
    );
    this.textarea.before(this.box);
    this.table.addEventListener("change", (event) => this.typed(event.target));
    this.table.addEventListener("keydown", (event) => this.pressed(event));
    this.table.addEventListener("paste", (event) => this.pasted(event));
  }

  // ---- Between the text and the table

  showTable() {
    this.trouble.textContent = "";
    try {
      const [columns = ["name"], ...rows] = parseCsv(this.textarea.value);
      const ragged = rows.findIndex((row) => row.length !== columns.length);
      if (ragged >= 0) {
        throw new Error(`Row ${ragged + 1} has ${rows[ragged].length} cells for ${columns.length} columns.`);
      }
      this.columns = columns;
      this.rows = rows.length ? rows : [columns.map(() => "")];
      this.isTable = true;
    } catch (error) {
      this.trouble.textContent = `${error.message} Mend it in the text, then open the table again.`;
      this.isTable = false;
    }
    this.draw();
    this.tellColumns();
  }

  showText() {
    this.store();
    this.isTable = false;
    this.draw();
    this.textarea.focus();
  }

  store() {
    if (!this.isTable) return;
    const filled = this.rows.filter((row) => row.some(Boolean));
    this.textarea.value = writeCsv([this.columns, ...filled]);
  }

  tellColumns() {
    let columns = this.columns ?? [];
    if (!this.isTable) {
      try {
        columns = parseCsv(this.textarea.value.split("\n", 1)[0])[0] ?? [];
      } catch {
        return;
      }
    }
    this.textarea.dispatchEvent(new CustomEvent("columns", { detail: columns, bubbles: true }));
  }

  // ---- Changes: rows are never changed in place, so that one step back is a list of the same rows

  change(act) {
    this.history.push({ columns: this.columns, rows: this.rows });
    if (this.history.length > MOST_UNDO) this.history.shift();
    this.columns = [...this.columns];
    this.rows = [...this.rows];
    act();
    this.draw();
    this.tellColumns();
    this.textarea.dispatchEvent(new Event("change", { bubbles: true }));
  }

  undo() {
    const before = this.history.pop();
    if (!before) return;
    Object.assign(this, before);
    this.draw();
    this.tellColumns();
  }

  addRow(at, cells = this.columns.map(() => "")) {
    this.search.value = this.filter = "";
    this.change(() => this.rows.splice(at, 0, cells));
    this.focus(at, 0);
  }

  removeRow(at) {
    this.change(() => {
      this.rows.splice(at, 1);
      if (!this.rows.length) this.rows.push(this.columns.map(() => ""));
    });
    this.focus(Math.min(at, this.rows.length - 1), 0);
  }

  moveRow(at, to, column = 0) {
    if (to < 0 || to >= this.rows.length) return;
    this.change(() => this.rows.splice(to, 0, ...this.rows.splice(at, 1)));
    this.focus(to, column);
  }

  changeColumns(move) {
    this.change(() => {
      move(this.columns);
      this.rows = this.rows.map((row) => {
        const cells = [...row];
        move(cells, true);
        return cells;
      });
    });
  }

  addColumn() {
    let number = this.columns.length + 1;
    while (this.columns.includes(`column ${number}`)) number += 1;
    this.changeColumns((cells, isRow) => cells.push(isRow ? "" : `column ${number}`));
    this.table.querySelectorAll("thead input")[this.columns.length - 1].select();
  }

  typed(field) {
    const column = Number(field.dataset.column);
    if (field.dataset.row === undefined) {
      const [from, to] = [this.columns[column], field.value.trim()];
      this.change(() => (this.columns[column] = to));
      this.textarea.dispatchEvent(new CustomEvent("column-renamed", { detail: { from, to }, bubbles: true }));
    } else {
      const row = Number(field.dataset.row);
      const cells = [...this.rows[row]];
      cells[column] = field.value.trim();
      this.history.push({ columns: this.columns, rows: [...this.rows] });
      if (this.history.length > MOST_UNDO) this.history.shift();
      this.rows[row] = cells; // without drawing the table again: the next cell has the focus already
      this.undoButton.disabled = false;
    }
  }

  pressed(event) {
    const field = event.target;
    if (event.key === "Enter" && !event.shiftKey && field.matches("input, textarea")) {
      event.preventDefault(); // which would send the form
      const row = Number(field.dataset.row ?? -1);
      const next = this.shown().find((at) => at > row);
      if (next === undefined) return field.blur();
      this.focus(next, Number(field.dataset.column));
    } else if (event.altKey && field.dataset.row !== undefined && ["ArrowUp", "ArrowDown"].includes(event.key)) {
      event.preventDefault();
      this.typed(field);
      const row = Number(field.dataset.row);
      this.moveRow(row, row + (event.key === "ArrowUp" ? -1 : 1), Number(field.dataset.column));
    }
  }

  pasted(event) {
    const field = event.target;
    const text = event.clipboardData.getData("text/plain").replace(/\r\n?/g, "\n").replace(/\n$/, "");
    if (field.dataset.row === undefined || !/[\t\n]/.test(text)) return;
    event.preventDefault();
    let block;
    try {
      block = readRecords(text, "\t");
    } catch {
      block = text.split("\n").map((line) => line.split("\t"));
    }
    const [top, left] = [Number(field.dataset.row), Number(field.dataset.column)];
    this.change(() => {
      block.forEach((cells, down) => {
        const row = [...(this.rows[top + down] ?? this.columns.map(() => ""))];
        cells.forEach((cell, right) => left + right < row.length && (row[left + right] = cell.trim()));
        this.rows[top + down] = row;
      });
    });
    this.focus(top, left);
  }

  // ---- Drawing

  shown() {
    const all = this.rows.map((_row, at) => at);
    if (!this.filter) return all;
    return all.filter((at) => this.rows[at].some((cell) => cell.toLowerCase().includes(this.filter)));
  }

  focus(row, column) {
    const place = this.shown().indexOf(row);
    if (place >= 0 && Math.floor(place / PAGE) !== this.page) {
      this.page = Math.floor(place / PAGE);
      this.draw();
    }
    this.table.querySelector(`[data-row="${row}"][data-column="${column}"]`)?.focus();
  }

  draw() {
    this.textarea.hidden = this.isTable;
    for (const part of [this.tools, this.scroll, this.count, this.pager]) part.hidden = !this.isTable;
    this.toggle.textContent = this.isTable ? "Edit as text" : "Edit as a table";
    this.toggle.title = this.toggle.textContent;
    this.toggle.setAttribute("aria-label", this.toggle.textContent);
    if (!this.isTable) return;
    const shown = this.shown();
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    this.page = Math.min(this.page, pages - 1);
    this.undoButton.disabled = !this.history.length;
    const places = shown.slice(this.page * PAGE, (this.page + 1) * PAGE);
    this.table.replaceChildren(this.drawWidths(places), this.drawHead(), this.drawBody(places));
    const total = `${this.rows.length} row${this.rows.length === 1 ? "" : "s"}`;
    this.count.textContent = this.filter ? `${shown.length} of ${total}` : total;
    this.pager.replaceChildren();
    if (pages > 1) {
      const turn = (by) => () => {
        this.page += by;
        this.draw();
      };
      const back = button("←", "Previous rows", turn(-1));
      const on = button("→", "Next rows", turn(1));
      back.disabled = this.page === 0;
      on.disabled = this.page === pages - 1;
      this.pager.append(back, ` page ${this.page + 1} of ${pages} `, on);
    }
  }

  /** Columns as wide as what stands in them asks for. */
  drawWidths(places) {
    const group = element("colgroup", {}, element("col", { className: "narrow" }));
    const wanted = this.columns.map((name, column) => {
      const longest = Math.max(0, ...places.map((at) => this.rows[at][column].length));
      return Math.min(60, Math.max(name.length, longest)) + 6;
    });
    const total = wanted.reduce((sum, width) => sum + width, 0);
    for (const width of wanted) {
      const col = element("col");
      col.style.width = `${Math.round((100 * width) / total)}%`;
      group.append(col);
    }
    group.append(element("col", { className: "narrow" }));
    return group;
  }

  drawHead() {
    const head = element("tr", {}, element("th", { scope: "col", textContent: "#" }));
    this.columns.forEach((name, at) => {
      const input = element("input", { type: "text", value: name, maxLength: 64, size: Math.max(4, name.length) });
      input.dataset.column = at;
      input.setAttribute("aria-label", `Name of column ${at + 1}`);
      const swap = (with_) => (cells) => ([cells[at], cells[with_]] = [cells[with_], cells[at]]);
      const left = button("←", `Move ${name} to the left`, () => this.changeColumns(swap(at - 1)));
      const right = button("→", `Move ${name} to the right`, () => this.changeColumns(swap(at + 1)));
      const remove = button("✕", `Remove the column ${name}`, () => this.changeColumns((cells) => cells.splice(at, 1)));
      left.disabled = at === 0;
      right.disabled = at === this.columns.length - 1;
      remove.disabled = this.columns.length === 1;
      const tools = element("span", { className: "cell-tools" }, left, right, remove);
      head.append(element("th", { scope: "col" }, element("div", { className: "column-head" }, input, tools)));
    });
    head.append(element("td"));
    return element("thead", {}, head);
  }

  drawBody(places) {
    const body = element("tbody");
    for (const at of places) {
      const line = element("tr", {}, element("th", { scope: "row", textContent: at + 1 }));
      this.columns.forEach((name, column) => {
        const cell = element("textarea", { rows: 1, value: this.rows[at][column], maxLength: 2000 });
        cell.dataset.row = at;
        cell.dataset.column = column;
        cell.setAttribute("aria-label", `${name}, row ${at + 1}`);
        line.append(element("td", {}, cell));
      });
      const up = button("↑", `Move row ${at + 1} up`, () => this.moveRow(at, at - 1));
      const down = button("↓", `Move row ${at + 1} down`, () => this.moveRow(at, at + 1));
      up.disabled = at === 0;
      down.disabled = at === this.rows.length - 1;
      const copy = button("Copy", `Duplicate row ${at + 1}`, () => this.addRow(at + 1, [...this.rows[at]]));
      const remove = button("✕", `Remove row ${at + 1}`, () => this.removeRow(at));
      line.append(element("td", { className: "cell-tools" }, up, down, copy, remove));
      body.append(line);
    }
    return body;
  }
}

for (const textarea of document.querySelectorAll("textarea[data-row-editor]")) {
  textarea.rowEditor = new RowEditor(textarea);
}
