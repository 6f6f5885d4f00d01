"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows, fields = data.fields, byName = Object.fromEntries(fields.map(f => [f.name, f]));
const TEAL = "#0b6e6e", HOT = "#c4512d", GREY = "#b9c3cb";
const filters = new Map();            // field name -> [low, high] on its axis, 0 to 1
let hot = null, sortBy = data.objectives[0], descending = false, shown = [];
const $ = id => document.getElementById(id);
const svg = (tag, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

// ---- numbers
const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"], [1e-15, "f"]];
function text(field, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (field.unit === "J" || field.unit === "s" || field.unit === "W") {
    const [scale, prefix] = PREFIXES.find(([s]) => Math.abs(value) >= 0.9995 * s) || [1e-15, "f"];
    return value === 0 ? "0 " + field.unit : (value / scale).toPrecision(3) + " " + prefix + field.unit;
  }
  if (field.share) return (100 * value).toFixed(2) + " %";
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(3) + (field.unit ? " " + field.unit : "");
  const plain = Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
  return plain + (field.unit ? " " + field.unit : "");
}

// ---- axes: where a value lies between 0 and 1
for (const field of fields) {
  const values = rows.map(r => r[field.at]).filter(v => v !== null);
  if (field.values) {
    const places = new Map(field.values.map((v, i) => [v, i]));
    const numeric = field.values.every(v => typeof v === "number") && field.values.length > 12;
    field.place = v => places.has(v) ? (places.size > 1 ? places.get(v) / (places.size - 1) : 0.5) : null;
    field.ticks = (numeric ? [0, .25, .5, .75, 1].map(s => field.values[Math.round(s * (places.size - 1))]) : field.values).map(v => [field.place(v), text(field, v)]);
  } else {
    const low = Math.min(...values), high = Math.max(...values);
    const log = field.log || (low > 0 && high / low > 30);
    const scale = log ? Math.log : v => v, from = scale(low), to = scale(high);
    field.place = v => v === null ? null : (to > from ? (scale(v) - from) / (to - from) : 0.5);
    const back = s => log ? Math.exp(from + s * (to - from)) : from + s * (to - from);
    field.ticks = (to > from ? [0, .25, .5, .75, 1] : [0.5]).map(s => [s, text(field, back(s))]);
  }
  field.log = field.log || false;
}

// ---- what is shown
function passes(row) {
  if ($("only-front").checked && !row[data.at.front]) return false;
  if ($("only-kept").checked && !row[data.at.kept]) return false;
  for (const [name, [low, high]] of filters) {
    const place = byName[name].place(row[byName[name].at]);
    if (place === null || place < low - 1e-9 || place > high + 1e-9) return false;
  }
  return true;
}
function refresh() {
  shown = rows.filter(r => r[data.at.runs] && passes(r));
  $("count").textContent = `${shown.length} of ${rows.filter(r => r[data.at.runs]).length} machines that run`;
  drawScatter(); drawParallel(); drawTable();
}
const number = row => row[data.at.number];
function point(row) { if (row !== hot) { hot = row; drawParallel(); mark(); } }
function mark() {
  document.querySelectorAll("circle.dot").forEach(c => c.setAttribute("stroke-width", hot && +c.dataset.number === number(hot) ? 3 : 1));
  document.querySelectorAll("#table tbody tr").forEach(t => t.classList.toggle("hot", !!hot && +t.dataset.number === number(hot)));
}
function tip(event, row) {
  const box = $("tip");
  if (!row) { box.style.display = "none"; return; }
  box.replaceChildren();
  const head = document.createElement("b");
  head.textContent = `machine ${number(row)}` + (row[data.at.front] ? " · on the front" : "") + (number(row) === data.chosen ? " · chosen" : "") + (row[data.at.kept] ? "" : " · misses a constraint");
  const table = document.createElement("table");
  for (const f of fields) {
    if (row[f.at] === null) continue;
    const tr = table.insertRow();
    tr.insertCell().textContent = f.title; tr.insertCell().textContent = text(f, row[f.at]);
  }
  box.append(head, table);
  box.style.display = "block";
  const { innerWidth: w, innerHeight: h } = window, { offsetWidth: bw, offsetHeight: bh } = box;
  box.style.left = Math.min(event.clientX + 16, w - bw - 8) + "px";
  box.style.top = Math.max(8, Math.min(event.clientY + 16, h - bh - 8)) + "px";
}
function colour(row) {
  const field = byName[$("colour").value];
  if (!field) return row[data.at.front] ? TEAL : "#7fa9b8";
  const place = field.place(row[field.at]);
  if (place === null) return GREY;
  const hue = 210 - 190 * place;
  return `hsl(${hue} 62% ${46 - 6 * Math.sin(place * Math.PI)}%)`;
}

// ---- scatter with the front
function drawScatter() {
  const box = $("scatter"), width = box.clientWidth, height = box.clientHeight;
  const x = byName[$("x").value], y = byName[$("y").value];
  const left = 84, right = width - 20, top = 14, bottom = height - 46;
  const at = row => [left + x.place(row[x.at]) * (right - left), bottom - y.place(row[y.at]) * (bottom - top)];
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}` });
  for (const [s, label] of x.ticks) {
    const px = left + s * (right - left);
    root.append(svg("line", { x1: px, x2: px, y1: top, y2: bottom, class: "grid" }), svg("text", { x: px, y: bottom + 18, "text-anchor": "middle" }, label));
  }
  for (const [s, label] of y.ticks) {
    const py = bottom - s * (bottom - top);
    root.append(svg("line", { x1: left, x2: right, y1: py, y2: py, class: "grid" }), svg("text", { x: left - 8, y: py + 4, "text-anchor": "end" }, label));
  }
  root.append(svg("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle", class: "title" }, x.title));
  root.append(svg("text", { x: 14, y: (top + bottom) / 2, "text-anchor": "middle", class: "title", transform: `rotate(-90 14 ${(top + bottom) / 2})` }, y.title));
  const seen = shown.filter(r => r[x.at] !== null && r[y.at] !== null);
  const order = [...seen].sort((a, b) => a[data.at.front] - b[data.at.front]);
  if (x.metric && y.metric && x !== y) {
    let least = Infinity; const steps = [];
    for (const row of seen.filter(r => r[data.at.kept]).sort((a, b) => a[x.at] - b[x.at] || a[y.at] - b[y.at]))
      if (row[y.at] < least) { least = row[y.at]; steps.push(at(row)); }
    if (steps.length) {
      let d = `M${steps[0][0]},${top}V${steps[0][1]}`;
      for (const [px, py] of steps.slice(1)) d += `H${px}V${py}`;
      root.append(svg("path", { d: d + `H${right}`, fill: "none", stroke: TEAL, "stroke-width": 1.5, "stroke-dasharray": "5 4" }));
    }
  }
  for (const row of order) {
    const [px, py] = at(row), front = row[data.at.front], kept = row[data.at.kept], chosen = number(row) === data.chosen;
    const dot = svg("circle", {
      cx: px, cy: py, r: chosen ? 8 : front ? 5.5 : 3.6, class: "dot", "data-number": number(row),
      fill: kept ? colour(row) : "#fff", "fill-opacity": front ? 1 : 0.55, stroke: chosen ? HOT : kept ? "#fff" : GREY, "stroke-width": chosen ? 3 : 1,
    });
    dot.addEventListener("mousemove", e => { point(row); tip(e, row); });
    dot.addEventListener("mouseleave", () => tip(null, null));
    root.append(dot);
  }
  box.replaceChildren(root);
}

// ---- parallel coordinates with brushes
const axes = fields.filter(f => f.axis);
function drawParallel() {
  const box = $("parallel"), width = box.clientWidth, height = box.clientHeight;
  const top = 46, bottom = height - 16, left = 60, right = width - 60;
  const px = i => axes.length > 1 ? left + i * (right - left) / (axes.length - 1) : (left + right) / 2;
  const py = s => bottom - s * (bottom - top);
  let canvas = box.querySelector("canvas"), root = box.querySelector("svg");
  if (!canvas) { canvas = document.createElement("canvas"); box.append(canvas); }
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio); pen.clearRect(0, 0, width, height);
  const line = (row, style, thick, alpha) => {
    pen.beginPath(); pen.strokeStyle = style; pen.lineWidth = thick; pen.globalAlpha = alpha;
    let pens = false;
    axes.forEach((f, i) => {
      const place = f.place(row[f.at]);
      if (place === null) { pens = false; return; }
      if (pens) pen.lineTo(px(i), py(place)); else pen.moveTo(px(i), py(place));
      pens = true;
    });
    pen.stroke();
  };
  const alpha = Math.max(0.06, Math.min(0.5, 60 / Math.max(1, shown.length)));
  for (const row of shown) if (!row[data.at.front]) line(row, row[data.at.kept] ? colour(row) : GREY, 1, alpha);
  for (const row of shown) if (row[data.at.front]) line(row, colour(row), 1.8, 0.9);
  if (hot && shown.includes(hot)) line(hot, HOT, 3, 1);
  if (root && root.dataset.width === String(width)) return;
  if (root) root.remove();
  root = svg("svg", { viewBox: `0 0 ${width} ${height}`, "data-width": width });
  axes.forEach((f, i) => {
    const g = svg("g");
    g.append(svg("line", { x1: px(i), x2: px(i), y1: top, y2: bottom, class: "axis" }));
    g.append(svg("text", { x: px(i), y: i % 2 ? 14 : 30, "text-anchor": "middle", class: "title" }, f.short));
    for (const [s, label] of f.ticks) {
      g.append(svg("line", { x1: px(i) - 4, x2: px(i), y1: py(s), y2: py(s), class: "axis" }));
      g.append(svg("text", { x: px(i) + 6, y: py(s) + 4, "paint-order": "stroke", stroke: "#fff", "stroke-width": 4 }, label));
    }
    const brush = svg("rect", { x: px(i) - 9, width: 18, y: 0, height: 0, fill: HOT, "fill-opacity": 0.22, stroke: HOT });
    const reach = svg("rect", { x: px(i) - 14, width: 28, y: top - 8, height: bottom - top + 16, fill: "transparent", style: "cursor: ns-resize" });
    let from = null;
    const share = event => {
      const area = box.getBoundingClientRect();
      return Math.max(0, Math.min(1, (bottom - (event.clientY - area.top)) / (bottom - top)));
    };
    const show = () => {
      const range = filters.get(f.name);
      brush.setAttribute("y", range ? py(range[1]) : 0);
      brush.setAttribute("height", range ? Math.max(2, py(range[0]) - py(range[1])) : 0);
    };
    reach.addEventListener("pointerdown", e => { from = share(e); reach.setPointerCapture(e.pointerId); });
    reach.addEventListener("pointermove", e => {
      if (from === null) return;
      const to = share(e);
      if (Math.abs(to - from) > 0.01) { filters.set(f.name, [Math.min(from, to), Math.max(from, to)]); show(); refresh(); }
    });
    reach.addEventListener("pointerup", e => {
      if (from !== null && Math.abs(share(e) - from) <= 0.01) { filters.delete(f.name); show(); refresh(); }
      from = null;
    });
    f.showBrush = show;
    show();
    g.append(brush, reach);
    root.append(g);
  });
  box.append(root);
}

// ---- table
const TABLE_ROWS = 300;
function drawTable() {
  const field = byName[sortBy], table = $("table");
  const order = [...shown].sort((a, b) => {
    const p = a[field.at], q = b[field.at];
    if (p === null || q === null) return (p === null) - (q === null);
    return (p < q ? -1 : p > q ? 1 : number(a) - number(b)) * (descending ? -1 : 1);
  });
  const head = document.createElement("thead"), body = document.createElement("tbody"), tr = head.insertRow();
  for (const f of fields) {
    const th = document.createElement("th");
    th.className = "sorts"; th.textContent = f.short + (f.name === sortBy ? (descending ? " ▼" : " ▲") : "");
    th.title = f.title;
    th.addEventListener("click", () => { descending = sortBy === f.name && !descending; sortBy = f.name; drawTable(); });
    tr.append(th);
  }
  for (const row of order.slice(0, TABLE_ROWS)) {
    const line = body.insertRow();
    line.dataset.number = number(row);
    line.className = (number(row) === data.chosen ? "chosen " : "") + (row[data.at.kept] ? "" : "off");
    for (const f of fields) line.insertCell().textContent = text(f, row[f.at]);
    line.addEventListener("mouseenter", () => point(row));
  }
  table.replaceChildren(head, body);
  $("cut").textContent = order.length > TABLE_ROWS ? `The first ${TABLE_ROWS} of ${order.length}.` : "";
  mark();
}

// ---- bars
function bars(id, entries, label) {
  const box = $(id);
  if (!box || !entries.length) return;
  const width = 560, height = 24 * entries.length + 8, from = 170;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, style: "width:100%;max-width:620px" });
  const low = Math.min(...entries.map(e => e.low)), high = Math.max(...entries.map(e => e.high));
  const at = v => from + (high > low ? (v - low) / (high - low) : 0) * (width - from - 150);
  entries.forEach((e, i) => {
    const y = 24 * i + 4;
    root.append(svg("text", { x: from - 8, y: y + 13, "text-anchor": "end" }, e.name));
    root.append(svg("rect", { x: at(e.low), y: y + 2, width: Math.max(1.5, at(e.high) - at(e.low)), height: 15, rx: 2, fill: TEAL, "fill-opacity": 0.8 }));
    if (e.mark !== undefined) root.append(svg("line", { x1: at(e.mark), x2: at(e.mark), y1: y - 2, y2: y + 21, stroke: HOT, "stroke-width": 2 }));
    root.append(svg("text", { x: at(e.high) + 6, y: y + 13 }, label(e)));
    const title = svg("title", {}, e.told || ""); root.lastChild.append(title);
  });
  box.replaceChildren(root);
}
for (const objective of data.objectives) {
  for (const kind of ["variance", "best"])
    bars(`${kind}-${objective}`, Object.entries((data.importances[objective] || {})[kind] || {}).map(([name, share]) => ({ name, low: 0, high: share })).sort((a, b) => b.high - a.high), e => (100 * e.high).toFixed(1) + " %");
  const metric = byName[objective];
  bars("tornado-" + objective, data.tornado.filter(s => s.objective === objective && s.high > s.low).map(s => ({
    name: s.dimension, low: s.low, high: s.high, mark: data.chosen_metrics[objective],
    told: `${text(metric, s.low)} at ${s.at_low}, ${text(metric, s.high)} at ${s.at_high}`,
  })), e => `${text(metric, e.low)} – ${text(metric, e.high)}`);
}

// ---- controls
function options(id, list, first) {
  for (const f of list) $(id).append(new Option(f.title, f.name));
  $(id).value = first;
  $(id).addEventListener("change", refresh);
}
const metrics = fields.filter(f => f.metric && f.known);
options("x", fields.filter(f => f.known), data.objectives.length > 1 ? data.objectives[0] : (metrics.find(f => f.name !== data.objectives[0]) || metrics[0]).name);
options("y", fields.filter(f => f.known), data.objectives[1] || data.objectives[0]);
$("colour").append(new Option("the front", ""));
options("colour", fields.filter(f => f.known), data.objectives[2] || "");
for (const id of ["only-front", "only-kept"]) $(id).addEventListener("change", refresh);
$("reset").addEventListener("click", () => {
  filters.clear(); $("only-front").checked = $("only-kept").checked = false;
  axes.forEach(f => f.showBrush && f.showBrush()); hot = null; refresh();
});
$("parallel").addEventListener("mousemove", event => {
  const area = $("parallel").getBoundingClientRect();
  const y = event.clientY - area.top, x = event.clientX - area.left, width = area.width, height = area.height;
  const gap = axes.length > 1 ? (width - 120) / (axes.length - 1) : 1, i = Math.max(0, Math.min(axes.length - 2, Math.floor((x - 60) / gap)));
  if (axes.length < 2 || event.buttons) return;
  const t = (x - 60 - i * gap) / gap;
  let best = null, near = 8;
  for (const row of shown) {
    const a = axes[i].place(row[axes[i].at]), b = axes[i + 1].place(row[axes[i + 1].at]);
    if (a === null || b === null) continue;
    const far = Math.abs(height - 16 - (a + (b - a) * t) * (height - 62) - y);
    if (far < near) { near = far; best = row; }
  }
  if (best) { point(best); tip(event, best); } else tip(null, null);
});
$("parallel").addEventListener("mouseleave", () => tip(null, null));
window.addEventListener("resize", refresh);
refresh();
