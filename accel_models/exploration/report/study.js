"use strict";
(() => {
const { $, svg, make, scale, HOT } = pages, TEAL = "#0b6e6e", GREY = "#9aa7b2";
const data = JSON.parse($("data").textContent);
const rows = data.rows, fields = data.fields, byName = Object.fromEntries(fields.map(f => [f.name, f]));
const filters = new Map();            // field name -> [low, high] on its axis, 0 to 1
let hot = null, shown = [];
const text = (field, value) => pages.text(field.unit, value);
const sorted = { by: byName[data.objectives[0]].at, down: false };

// ---- axes: where a value lies between 0 and 1
for (const field of fields) {
  const values = rows.map(r => r[field.at]).filter(v => v !== null);
  if (field.values) {
    const places = new Map(field.values.map((v, i) => [v, i]));
    const numeric = field.values.every(v => typeof v === "number") && field.values.length > 12;
    field.place = v => places.has(v) ? (places.size > 1 ? places.get(v) / (places.size - 1) : 0.5) : null;
    field.ticks = (numeric ? [0, .25, .5, .75, 1].map(s => field.values[Math.round(s * (places.size - 1))]) : field.values).map(v => [field.place(v), text(field, v)]);
  } else {
    const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (high > low) {
      const axis = scale(low, high, field.log || (low > 0 && high / low > 30), field.unit);
      field.place = axis.place;
      field.ticks = [0, .25, .5, .75, 1].map(s => [s, text(field, axis.back(s))]);
    } else {
      field.place = v => v === null ? null : 0.5;
      field.ticks = [[0.5, text(field, low)]];
    }
  }
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
  if (!row) return pages.quiet();
  const head = `machine ${number(row)}` + (row[data.at.front] ? " · on the front" : "") + (number(row) === data.chosen ? " · chosen" : "") + (row[data.at.kept] ? "" : " · misses a constraint");
  pages.tip(event, head, fields.filter(f => row[f.at] !== null).map(f => [f.title, text(f, row[f.at])]));
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
      fill: kept ? colour(row) : "var(--paper)", "fill-opacity": front ? 1 : 0.55, stroke: chosen ? HOT : kept ? "var(--paper)" : GREY, "stroke-width": chosen ? 3 : 1,
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
  if (!canvas) { canvas = make("canvas"); box.append(canvas); }
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
      g.append(svg("text", { x: px(i) + 6, y: py(s) + 4, class: "halo" }, label));
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
function drawTable() {
  pages.table($("table"), fields, shown, {
    state: sorted, cut: $("cut"), drawn: mark,
    each: (line, row) => {
      line.dataset.number = number(row);
      line.className = (number(row) === data.chosen ? "chosen " : "") + (row[data.at.kept] ? "" : "off");
      line.addEventListener("mouseenter", () => point(row));
    },
  });
}
$("save").addEventListener("click", () => pages.download("machines.csv", pages.csv([{ name: "number" }, ...fields], shown.map(r => [number(r), ...fields.map(f => r[f.at])]))));

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
})();
