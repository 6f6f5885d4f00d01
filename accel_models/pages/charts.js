"use strict";
// Charts of a page: drawn from JSON, to hover, filter, zoom and go through by keys; a table that
// sorts and a file of data beside each. A page's own script may use what `pages` holds.
const pages = (() => {
  const HOT = "#c4512d", TABLE_ROWS = 300;
  const $ = id => document.getElementById(id);
  const make = (tag, attributes, text) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };

  // ---- numbers, as people read them
  const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"], [1e-15, "f"], [1e-18, "a"]];
  function text(unit, value) {
    if (value === null || value === undefined) return "–";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number") return String(value);
    if (unit === "J" || unit === "s" || unit === "W") {
      const [scale, prefix] = PREFIXES.find(([s]) => Math.abs(value) >= 0.9995 * s) || PREFIXES[PREFIXES.length - 1];
      return value === 0 ? "0 " + unit : (value / scale).toPrecision(3).replace("-", "−") + " " + prefix + unit;
    }
    if (unit === "share") return (100 * value).toFixed(2).replace(/^-(?=[0.]+$)/, "").replace("-", "−") + " %";
    const after = unit ? " " + unit : "";
    if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(3).replace("-", "−") + after;
    const plain = Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
    return plain.replace("-", "−") + after;
  }

  // ---- where values lie between 0 and 1, and what is written beside them
  function scale(low, high, log, unit, ticks = 5) {
    if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)))) { const pad = Math.abs(low) * 0.05 || 1; if (!log) low -= pad; high += pad; }
    const to = log ? Math.log : v => v, from = to(low), range = to(high) - from;
    const place = v => v === null || v === undefined ? null : (to(v) - from) / range;
    const back = s => log ? Math.exp(from + s * range) : from + s * range;
    return { low, high, place, back, ticks: (log ? decades(low, high, ticks) : round(low, high, ticks)).map(v => [place(v), tick(unit, v)]) };
  }
  const tick = (unit, value) => unit === "share" ? String(Number((100 * value).toFixed(2))).replace("-", "−") + " %" : unit === "J" || unit === "s" || unit === "W" ? text(unit, value).replace(/\.0+ | (?=[^ ]*$)/, " ").replace(/(\.\d*?)0+ /, "$1 ") : text("", value);
  function decades(low, high, wanted) {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) for (const s of [1, 2, 5]) { const v = s * 10 ** e; if (v >= low && v <= high) found.push(Number(v.toPrecision(3))); }
    const each = Math.ceil(found.length / (wanted + 1));
    return found.length > 1 ? found.filter((_, i) => i % each === 0) : [low, high];
  }
  function round(low, high, wanted) {
    const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map(s => s * power).find(s => s >= raw);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Math.abs(k * step) < 1e-12 * step ? 0 : k * step);
    return found;
  }

  // ---- what is said of a mark
  function tip(event, head, pairs) {
    const box = $("tip");
    if (!head && !pairs) { box.style.display = "none"; return; }
    box.replaceChildren();
    if (head) box.append(make("b", {}, head));
    const table = make("table");
    for (const [name, value] of pairs) {
      const tr = table.insertRow();
      tr.insertCell().textContent = name; tr.insertCell().textContent = value;
    }
    box.append(table);
    box.style.display = "block";
    const { innerWidth: w, innerHeight: h } = window, { offsetWidth: bw, offsetHeight: bh } = box;
    box.style.left = Math.max(4, Math.min(event.clientX + 16, w - bw - 8)) + "px";
    box.style.top = Math.max(8, Math.min(event.clientY + 16, h - bh - 8)) + "px";
  }
  const quiet = () => tip(null, "", null);

  // ---- tables that sort; by mouse, and by keys, as their heads are buttons
  function table(box, columns, rows, options = {}) {
    const state = options.state || {};
    const draw = () => {
      const order = [...rows];
      if (state.by !== undefined) order.sort((a, b) => {
        const p = a[state.by], q = b[state.by];
        if (p === null || q === null) return (p === null) - (q === null);
        return (p < q ? -1 : p > q ? 1 : 0) * (state.down ? -1 : 1);
      });
      const head = make("thead"), body = make("tbody"), tr = head.insertRow();
      columns.forEach((column, i) => {
        const at = column.at ?? i, th = make("th", { scope: "col", title: column.title, class: typeof (rows.find(row => row[at] !== null) || [])[at] === "string" ? "text" : "", "aria-sort": state.by === at ? (state.down ? "descending" : "ascending") : "none" });
        const button = make("button", { type: "button", class: "sorts" }, (column.short || column.title) + (state.by === at ? (state.down ? " ▼" : " ▲") : ""));
        button.addEventListener("click", () => {
          state.down = state.by === at && !state.down; state.by = at; draw();
          box.querySelectorAll("th button")[i].focus();
        });
        th.append(button); tr.append(th);
      });
      for (const row of order.slice(0, TABLE_ROWS)) {
        const line = body.insertRow();
        columns.forEach((column, i) => {
          const value = row[column.at ?? i], cell = line.insertCell();
          cell.textContent = text(column.unit, value);
          if (typeof value === "string") cell.className = value.length > 40 ? "text long" : "text";
        });
        if (options.each) options.each(line, row);
      }
      box.replaceChildren(head, body);
      if (options.cut) options.cut.textContent = order.length > TABLE_ROWS ? `The first ${TABLE_ROWS} of ${order.length}; the file has all.` : "";
      if (options.drawn) options.drawn();
    };
    draw();
  }
  function csv(columns, rows) {
    const cell = v => v === null ? "" : /[",\n]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : String(v);
    return [columns.map(c => c.name), ...rows].map(row => row.map(cell).join(",")).join("\n") + "\n";
  }
  function download(name, content) {
    const link = make("a", { href: URL.createObjectURL(new Blob([content], { type: "text/csv" })), download: name });
    document.body.append(link); link.click(); link.remove();
  }

  // ---- one chart
  class Chart {
    constructor(figure, spec) {
      Object.assign(this, { figure, spec, hidden: new Set(), only: {}, view: null, hot: -1, marks: [] });
      this.columns = spec.frame.columns;
      this.at = Object.fromEntries(this.columns.map((c, i) => [c.name, i]));
      this.box = figure.querySelector(".drawing");
      this.pivot = { y: spec.y, series: spec.series };
      if (spec.kind === "table") return this.alone();
      this.controls(); this.keys(); this.beside();
      new ResizeObserver(() => this.box.clientWidth !== this.width && this.draw()).observe(this.box);
      this.draw();
    }
    of(row, name) { return name ? row[this.at[name]] : null; }
    unit(name) { return name ? this.columns[this.at[name]].unit : ""; }
    title(name) { return name ? this.columns[this.at[name]].title : ""; }
    said(name) { const unit = this.unit(name), title = this.title(name); return unit && !["share"].includes(unit) && !title.includes(unit) ? `${title}, ${unit}` : title; }
    rows() {
      const series = this.pivot.series;
      return this.spec.frame.rows.filter(row =>
        !(series && this.hidden.has(String(this.of(row, series)))) &&
        Object.entries(this.only).every(([name, value]) => !value || String(this.of(row, name)) === value));
    }
    names(name) { return [...new Set(this.spec.frame.rows.map(row => String(this.of(row, name))))]; }
    colours() {
      if (this.pivot.series === this.spec.series) return this.spec.colours;
      const shades = this.spec.palette || ["#0b6e6e", "#e08e2b", "#3b5b92", "#c8553d", "#8e7cc3", "#5a9a3c", "#b5307a", "#a0722d", "#4fb0ae", "#7d9cc8", "#e0a08f", "#6b7a89"];
      return Object.fromEntries(this.names(this.pivot.series).map((name, i) => [name, shades[i % shades.length]]));
    }
    controls() {
      const bar = this.figure.querySelector(".controls"), add = (word, node) => { const label = make("label", {}, word + " "); label.append(node); bar.append(label); };
      bar.replaceChildren();
      const pick = (word, names, value, change) => {
        const select = make("select");
        for (const [name, title] of names) select.append(new Option(title, name));
        select.value = value;
        select.addEventListener("change", () => { change(select.value); this.view = null; this.legend(); this.draw(); });
        add(word, select);
      };
      if (this.spec.pivots.length) {
        const axes = this.spec.pivots.map(name => [name, this.title(name)]);
        pick("rows by", axes, this.spec.y, name => { this.pivot.y = name; });
        pick("parts by", axes, this.spec.series, name => { this.pivot.series = name; this.hidden.clear(); });
      }
      for (const name of this.spec.filters) pick(this.title(name), [["", "all"], ...this.names(name).map(one => [one, one])], "", value => { this.only[name] = value; });
      this.key = make("span", { class: "legend" });
      this.back = make("button", { type: "button", hidden: "" }, "zoom out");
      this.back.addEventListener("click", () => { this.view = null; this.draw(); });
      bar.append(this.key, this.back);
      this.legend();
    }
    legend() {
      const names = this.pivot.series && this.spec.kind !== "heat" ? this.names(this.pivot.series) : [], colours = this.colours();
      this.key.replaceChildren(...(names.length > 1 && names.length < 30 ? names : []).map(name => {
        const button = make("button", { type: "button", class: "key", "aria-pressed": String(!this.hidden.has(name)), title: "show or hide" });
        button.append(make("i", { style: `background:${colours[name]}` }), name);
        button.addEventListener("click", () => {
          this.hidden.has(name) ? this.hidden.delete(name) : this.hidden.add(name);
          button.setAttribute("aria-pressed", String(!this.hidden.has(name))); this.draw();
        });
        return button;
      }));
    }
    beside() {
      const part = this.figure.querySelector("details.data"), frame = this.spec.frame;
      let drawn = false;
      const fill = () => { if (!drawn) { drawn = true; table(part.querySelector("table"), this.columns, frame.rows, { cut: part.querySelector(".cut") }); } };
      part.addEventListener("toggle", fill);
      if (frame.rows.length <= 40) fill();
      part.querySelector(".download").addEventListener("click", () => download(this.spec.name + ".csv", csv(this.columns, frame.rows)));
    }
    alone() {
      table(this.figure.querySelector("table"), this.columns, this.spec.frame.rows, { cut: this.figure.querySelector(".cut") });
      this.figure.querySelector(".download").addEventListener("click", () => download(this.spec.name + ".csv", csv(this.columns, this.spec.frame.rows)));
    }
    keys() {
      this.box.addEventListener("keydown", event => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") { this.view = null; this.hot = -1; quiet(); this.draw(); }
        if (!step || !this.marks.length) return;
        event.preventDefault();
        this.hot = (this.hot + step + this.marks.length) % this.marks.length;
        const one = this.marks[this.hot], area = one.node.getBoundingClientRect();
        this.point(one, { clientX: area.right, clientY: area.bottom });
      });
      this.box.addEventListener("blur", () => { this.unmark(); quiet(); });
    }
    unmark() { for (const node of this.box.querySelectorAll(".hot")) node.classList.remove("hot"); }
    point(one, event) { this.unmark(); one.node.classList.add("hot"); tip(event, one.head, one.pairs); }
    told(row) { return this.columns.filter(c => this.of(row, c.name) !== null && (c.name !== this.spec.label)).slice(0, 14).map(c => [c.title, text(c.unit, this.of(row, c.name))]); }
    mark(node, head, pairs) {
      const one = { node, head, pairs };
      node.addEventListener("mousemove", event => this.point(one, event));
      node.addEventListener("mouseleave", () => { node.classList.remove("hot"); quiet(); });
      this.marks.push(one);
      return node;
    }
    draw() {
      this.width = this.box ? this.box.clientWidth : 0;
      if (!this.width) return;
      this.marks = []; this.hot = -1;
      const small = this.width < 560, rows = this.rows();
      const how = { points: this.plane, lines: this.plane, columns: this.plane, bars: this.lying, spans: this.lying, heat: this.heat }[this.spec.kind];
      this.box.replaceChildren(how.call(this, rows, small));
      this.back.hidden = !this.view;
    }
    ends(rows, axis) {
      const names = axis === "x" ? [this.spec.x, this.spec.end, ...(this.spec.spread || [])] : [this.spec.y, ...(this.spec.reach || [])];
      let values = names.filter(Boolean).flatMap(name => rows.map(row => this.of(row, name))).filter(v => typeof v === "number");
      if (axis === "y" && this.spec.kind === "columns") values = [0, ...Object.values(stacked(rows, row => this.of(row, this.spec.x), row => this.of(row, this.spec.y)))];
      for (const one of this.spec.marks) if (one.axis === axis) values.push(one.at);
      const log = this.spec.log.includes(axis);
      if (log) values = values.filter(v => v > 0);
      if (!values.length) return [0, 1, false];
      let low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
      if (log) { low /= 1.15; high *= 1.15; }
      else if (this.spec.kind !== "spans") { const pad = (high - low) * 0.05; if (!(low >= 0 && low - pad < 0) && !(this.spec.kind === "columns" && axis === "y")) low -= pad; high += pad; }
      return [low, high, log];
    }
    axes(root, x, y, area) {
      const { left, right, top, bottom } = area;
      for (const [s, label] of x.ticks) if (s >= -1e-9 && s <= 1 + 1e-9) {
        const px = left + s * (right - left);
        root.append(svg("line", { x1: px, x2: px, y1: top, y2: bottom, class: "grid" }), svg("text", { x: px, y: bottom + 17, "text-anchor": "middle" }, label));
      }
      for (const [s, label] of y ? y.ticks : []) if (s >= -1e-9 && s <= 1 + 1e-9) {
        const py = bottom - s * (bottom - top);
        root.append(svg("line", { x1: left, x2: right, y1: py, y2: py, class: "grid" }), svg("text", { x: left - 7, y: py + 4, "text-anchor": "end" }, label));
      }
    }
    plane(rows, small) {
      const spec = this.spec, width = this.width, height = small ? 300 : 400, left = small ? 74 : 86;
      const area = { left, right: width - 18, top: 14, bottom: height - 44 }, { right, top, bottom } = area;
      const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
      const [xl, xh, xlog] = this.ends(rows, "x"), [yl, yh, ylog] = this.ends(rows, "y"), view = this.view;
      const x = scale(view ? view.x[0] : xl, view ? view.x[1] : xh, xlog, this.unit(spec.x), small ? 4 : 6);
      const y = scale(view ? view.y[0] : yl, view ? view.y[1] : yh, ylog, this.unit(spec.y), 5);
      const px = v => left + x.place(v) * (right - left), py = v => bottom - y.place(v) * (bottom - top);
      this.axes(root, x, y, area);
      root.append(svg("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle", class: "title" }, this.title(spec.x)));
      root.append(svg("text", { x: 12, y: (top + bottom) / 2, "text-anchor": "middle", class: "title", transform: `rotate(-90 12 ${(top + bottom) / 2})` }, this.title(spec.y)));
      const clip = `clip-${spec.name}`, inside = svg("g", { "clip-path": `url(#${clip})` });
      const frame = svg("clipPath", { id: clip });
      frame.append(svg("rect", { x: left - 2, y: top - 6, width: right - left + 8, height: bottom - top + 8 }));
      root.append(frame, this.brush(x, y, area), inside);
      ({ points: this.points, lines: this.lines, columns: this.stand })[spec.kind].call(this, inside, rows, px, py, small);
      for (const one of spec.marks) {
        const across = one.axis === "x", at = across ? px(one.at) : py(one.at);
        inside.append(svg("line", across ? { x1: at, x2: at, y1: top, y2: bottom, class: "rule" } : { x1: left, x2: right, y1: at, y2: at, class: "rule" }));
        inside.append(svg("text", across ? { x: at + 4, y: top + 10, class: "halo" } : { x: left + 6, y: at - 5, class: "halo" }, one.text));
      }
      return root;
    }
    brush(x, y, { left, right, top, bottom }) {
      const back = svg("g"), reach = svg("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "reach" }), shade = svg("rect", { class: "brush" });
      back.append(reach, shade);
      let from = null;
      const at = event => {
        const area = this.box.querySelector("svg").getBoundingClientRect(), by = this.width / area.width;
        return [Math.max(left, Math.min(right, (event.clientX - area.left) * by)), Math.max(top, Math.min(bottom, (event.clientY - area.top) * by))];
      };
      reach.addEventListener("pointerdown", event => { if (event.pointerType === "mouse") { from = at(event); reach.setPointerCapture(event.pointerId); } });
      reach.addEventListener("pointermove", event => {
        if (!from) return;
        const to = at(event);
        for (const [name, value] of Object.entries({ x: Math.min(from[0], to[0]), y: Math.min(from[1], to[1]), width: Math.abs(to[0] - from[0]), height: Math.abs(to[1] - from[1]) })) shade.setAttribute(name, value);
      });
      reach.addEventListener("pointerup", event => {
        if (!from) return;
        const to = at(event), begun = from;
        from = null;
        if (Math.abs(to[0] - begun[0]) < 8 || Math.abs(to[1] - begun[1]) < 8) { shade.setAttribute("width", 0); return; }
        const xs = [begun[0], to[0]].map(v => x.back((v - left) / (right - left))).sort((a, b) => a - b);
        const ys = [begun[1], to[1]].map(v => y.back((bottom - v) / (bottom - top))).sort((a, b) => a - b);
        this.view = { x: xs, y: ys }; this.draw();
      });
      return back;
    }
    points(root, rows, px, py, small) {
      const spec = this.spec, colours = this.colours(), seen = [];
      for (const name of spec.joined) {
        const mine = rows.filter(row => String(this.of(row, spec.series)) === name).sort((a, b) => this.of(a, spec.x) - this.of(b, spec.x));
        const d = mine.map((row, i) => `${i ? "L" : "M"}${px(this.of(row, spec.x))},${py(this.of(row, spec.y))}`).join("");
        if (d) root.append(svg("path", { d, fill: "none", stroke: colours[name], "stroke-width": 1.4 }));
      }
      for (const row of rows) {
        const vx = this.of(row, spec.x), vy = this.of(row, spec.y);
        if (typeof vx !== "number" || typeof vy !== "number" || (spec.log.includes("x") && vx <= 0) || (spec.log.includes("y") && vy <= 0)) continue;
        if (spec.joined.includes(String(this.of(row, spec.series))) && spec.label && !this.of(row, spec.label)) continue;
        const at = [px(vx), py(vy)], colour = colours[String(this.of(row, spec.series))] || "#0b6e6e";
        for (const [names, horizontal] of [[spec.spread, true], [spec.reach, false]]) {
          const ends = names && names.map(name => this.of(row, name));
          if (!ends || ends.some(v => v === null)) continue;
          root.append(svg("line", horizontal ? { x1: px(ends[0]), x2: px(ends[1]), y1: at[1], y2: at[1], stroke: colour } : { x1: at[0], x2: at[0], y1: py(ends[0]), y2: py(ends[1]), stroke: colour }));
        }
        const many = rows.length > 150, dot = svg("circle", { cx: at[0], cy: at[1], r: many ? 3 : 5.5, fill: colour, "fill-opacity": many ? 0.55 : 0.95, class: "dot" });
        root.append(this.mark(dot, spec.label ? String(this.of(row, spec.label)) : "", this.told(row)));
        seen.push([at, row]);
      }
      if (spec.label && !small && seen.length <= 24) this.named(root, seen);
    }
    named(root, seen) {
      const taken = seen.map(([[x, y]]) => [x - 7, x + 7, y - 7, y + 7]);
      for (const [[x, y], row] of seen) {
        const word = String(this.of(row, this.spec.label)), wide = 6.3 * word.length;
        const places = [[x + 8, y - 7, "start"], [x + 8, y + 15, "start"], [x - 8, y - 7, "end"], [x - 8, y + 15, "end"]];
        const free = places.find(([tx, ty, anchor]) => {
          const from = anchor === "start" ? tx : tx - wide;
          return from > 60 && from + wide < this.width - 10 && taken.every(([a, b, c, d]) => from + wide < a || from > b || ty < c || ty - 11 > d);
        });
        if (!free) continue;
        const from = free[2] === "start" ? free[0] : free[0] - wide;
        taken.push([from, from + wide, free[1] - 11, free[1]]);
        root.append(svg("text", { x: free[0], y: free[1], "text-anchor": free[2], class: "halo" }, word));
      }
    }
    lines(root, rows, px, py) {
      const spec = this.spec, colours = this.colours(), groups = new Map();
      for (const row of rows) { const name = String(this.of(row, spec.series)); (groups.get(name) || groups.set(name, []).get(name)).push(row); }
      for (const [name, mine] of groups) {
        const kept = mine.filter(row => typeof this.of(row, spec.y) === "number").sort((a, b) => this.of(a, spec.x) - this.of(b, spec.x));
        const d = kept.map((row, i) => { const x = px(this.of(row, spec.x)), y = py(this.of(row, spec.y)); return i === 0 ? `M${x},${y}` : spec.stairs ? `H${x}V${y}` : `L${x},${y}`; }).join("");
        root.append(svg("path", { d, fill: "none", stroke: colours[name] || "#0b6e6e", "stroke-width": 2 }));
        for (const row of kept) root.append(this.mark(svg("circle", { cx: px(this.of(row, spec.x)), cy: py(this.of(row, spec.y)), r: kept.length > 40 ? 6 : 4, fill: kept.length > 40 ? "transparent" : colours[name] || "#0b6e6e", class: "dot" }), spec.series ? name : "", this.told(row)));
      }
    }
    stand(root, rows, px, py) {
      const spec = this.spec, colours = this.colours(), below = {};
      for (const row of rows) {
        const from = this.of(row, spec.x), amount = this.of(row, spec.y), low = below[from] || 0;
        below[from] = low + amount;
        if (!amount) continue;
        const x = px(from), top = py(low + amount);
        root.append(this.mark(svg("rect", { x, y: top, width: Math.max(1, px(this.of(row, spec.end)) - x - 1), height: Math.max(0.5, py(low) - top), fill: colours[String(this.of(row, spec.series))] || "#0b6e6e", class: "bar" }), "", this.told(row)));
      }
    }
    lying(rows, small) {
      const spec = this.spec, by = this.pivot.y, bars = spec.kind === "bars", colours = this.colours();
      const names = [...new Set(rows.map(row => String(this.of(row, by))))];
      const each = names.length > 40 ? 16 : 24, font = small ? 6.6 : 7.3, longest = names.reduce((most, name) => Math.max(most, name.length), 4);
      const left = Math.min(longest * font + 14, this.width * 0.36), width = this.width, height = each * Math.max(1, names.length) + 50 + (spec.marks.length ? 12 : 0);
      const area = { left, right: width - (bars ? 66 : 18), top: spec.marks.length ? 20 : 8, bottom: height - 42 };
      const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
      const total = stacked(rows, row => String(this.of(row, by)), row => this.of(row, spec.x));
      const [low, high, log] = bars ? [0, Math.max(1e-300, ...Object.values(total), ...spec.marks.map(one => one.at)), false] : this.ends(rows, "x");
      const x = scale(this.view ? this.view.x[0] : low, this.view ? this.view.x[1] : high, log, this.unit(spec.x), small ? 3 : 5);
      const px = v => area.left + Math.max(-0.2, Math.min(1.2, x.place(v))) * (area.right - area.left);
      this.axes(root, x, null, area);
      root.append(svg("text", { x: (area.left + area.right) / 2, y: height - 6, "text-anchor": "middle", class: "title" }, this.title(spec.x)));
      const y = { back: v => v }, clip = `clip-${spec.name}`, frame = svg("clipPath", { id: clip }), inside = svg("g", { "clip-path": `url(#${clip})` });
      frame.append(svg("rect", { x: area.left, y: 0, width: width - area.left, height }));
      root.append(frame, bars ? svg("g") : this.brush(x, y, area), inside);
      names.forEach((name, i) => {
        const most = Math.floor((left - 10) / font), short = name.length > most ? name.slice(0, Math.max(1, most - 1)) + "…" : name, label = svg("text", { x: left - 7, y: area.top + each * (i + 0.5) + 4, "text-anchor": "end" }, short);
        label.append(svg("title", {}, name)); root.append(label);
      });
      const line = new Map(names.map((name, i) => [name, area.top + each * i]));
      if (!bars) for (const row of rows) {
        const from = px(this.of(row, spec.x)), to = px(this.of(row, spec.end)), top = line.get(String(this.of(row, by)));
        inside.append(this.mark(svg("rect", { x: Math.min(from, to), y: top + 3, width: Math.max(0.7, Math.abs(to - from)), height: each - 6, fill: colours[String(this.of(row, spec.series))] || "#0b6e6e", class: "bar" }), "", this.told(row)));
      }
      else this.stack(inside, rows, line, px, each, total, area);
      for (const one of spec.marks) inside.append(svg("line", { x1: px(one.at), x2: px(one.at), y1: area.top - 2, y2: area.bottom, class: "rule" }), svg("text", { x: px(one.at), y: area.top - 4, "text-anchor": px(one.at) > width * 0.7 ? "end" : "start", class: "halo" }, one.text));
      return root;
    }
    stack(root, rows, line, px, each, total) {
      const spec = this.spec, { y: by, series } = this.pivot, colours = this.colours(), parts = new Map(), below = {};
      for (const row of rows) {
        const key = JSON.stringify([String(this.of(row, by)), series ? String(this.of(row, series)) : ""]);
        parts.set(key, (parts.get(key) || 0) + (this.of(row, spec.x) || 0));
      }
      for (const [key, amount] of parts) {
        const [name, part] = JSON.parse(key), from = below[name] || 0;
        below[name] = from + amount;
        if (!amount) continue;
        const pairs = [[this.title(spec.x), text(this.unit(spec.x), amount)], ["share of the row", text("share", amount / total[name])]];
        root.append(this.mark(svg("rect", { x: px(from), y: line.get(name) + 3, width: Math.max(0.4, px(from + amount) - px(from)), height: each - 6, fill: colours[part] || "#0b6e6e", class: "bar" }), part ? `${name}: ${part}` : name, pairs));
      }
      for (const [name, sum] of Object.entries(total)) root.append(svg("text", { x: px(sum) + 5, y: line.get(name) + each / 2 + 4 }, text(this.unit(spec.x), sum)));
    }
    heat(rows, small) {
      const spec = this.spec, across = this.names(spec.x), down = this.names(spec.y), width = this.width;
      const font = small ? 6 : 6.8, left = Math.min(down.reduce((most, name) => Math.max(most, name.length), 4) * font + 14, width * 0.34);
      const each = 30, wide = Math.min(120, (width - left - 10) / across.length), turned = across.some(name => name.length * font > wide), top = turned ? 30 + 5 * Math.min(24, across.reduce((m, name) => Math.max(m, name.length), 0)) : 28, height = top + each * down.length + 8;
      const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
      across.forEach((name, i) => {
        const x = left + wide * (i + 0.5), most = turned ? 24 : name.length, short = name.length > most ? name.slice(0, most - 1) + "…" : name;
        const label = svg("text", turned ? { x, y: top - 8, transform: `rotate(-45 ${x} ${top - 8})` } : { x, y: top - 9, "text-anchor": "middle" }, short);
        label.append(svg("title", {}, name)); root.append(label);
      });
      const most = rows.reduce((m, row) => Math.max(m, Math.abs(this.of(row, spec.value)) || 0), 1e-300);
      down.forEach((name, i) => {
        const longest = Math.floor((left - 10) / font);
        root.append(svg("text", { x: left - 7, y: top + each * (i + 0.5) + 4, "text-anchor": "end" }, name.length > longest ? name.slice(0, longest - 1) + "…" : name));
      });
      for (const row of rows) {
        const value = this.of(row, spec.value), x = left + wide * across.indexOf(String(this.of(row, spec.x))), y = top + each * down.indexOf(String(this.of(row, spec.y)));
        const depth = value === null ? 0 : Math.sqrt(Math.min(1, Math.abs(value) / (spec.full || most)));
        const fill = value === null ? "var(--line)" : spec.diverging && value > 0 ? HOT : "#0b6e6e";
        const cell = svg("rect", { x: x + 1, y: y + 1, width: Math.max(1, wide - 2), height: each - 2, rx: 4, fill, "fill-opacity": value === null ? 1 : 0.04 + 0.9 * depth, class: "bar" });
        root.append(this.mark(cell, "", this.told(row)));
        if (wide > 44) root.append(svg("text", { x: x + wide / 2, y: y + each / 2 + 4, "text-anchor": "middle", class: depth > 0.75 ? "inside light" : "inside" }, value === null ? "–" : this.unit(spec.value) === "share" ? (100 * value).toFixed(value !== 0 && Math.abs(value) < 0.1 ? 1 : 0).replace("-", "−") + " %" : text(this.unit(spec.value), value)));
      }
      return root;
    }
  }
  function stacked(rows, name, amount) {
    const sums = {};
    for (const row of rows) sums[name(row)] = (sums[name(row)] || 0) + (amount(row) || 0);
    return sums;
  }

  const specs = JSON.parse($("charts").textContent), all = {};
  for (const figure of document.querySelectorAll("figure.chart")) all[figure.dataset.chart] = new Chart(figure, specs[figure.dataset.chart]);
  for (const box of document.querySelectorAll("details")) box.addEventListener("toggle", () => box.querySelectorAll("figure.chart").forEach(figure => all[figure.dataset.chart].draw()));
  let opened = [];
  window.addEventListener("beforeprint", () => { opened = [...document.querySelectorAll("details:not([open]):not(.data)")]; opened.forEach(box => { box.open = true; }); Object.values(all).forEach(chart => chart.draw()); });
  window.addEventListener("afterprint", () => opened.forEach(box => { box.open = false; }));
  return { $, svg, make, text, scale, tip, quiet, table, csv, download, HOT, charts: all };
})();
