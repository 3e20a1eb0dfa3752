"use strict";
const data = JSON.parse(document.getElementById("content").textContent);
const $ = (id) => document.getElementById(id);

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}

// Flat lists become one list a frame: agents {track, x, y, heading}, modes {track, percent, source, reason, points}.
const packed = { agents: unpack(data.agents), modes: unpack(data.modes), points: unpack(data.points) };
const metres = (value) => value * data.unit;
const frames = [];
{
  let agent = 0, mode = 0;
  const perMode = data.points_per_mode;
  data.seconds.forEach((seconds, i) => {
    const agents = new Map(), modes = [];
    for (const end = agent + data.agents_of[i]; agent < end; agent++) {
      const [track, x, y, heading] = packed.agents.subarray(4 * agent, 4 * agent + 4);
      agents.set(track, { track, x: metres(x), y: metres(y), heading: heading / 1000 });
    }
    for (const end = mode + data.answers[i].modes; mode < end; mode++) {
      const points = [];
      for (let p = mode * perMode; p < (mode + 1) * perMode; p++) {
        points.push([metres(packed.points[2 * p]), metres(packed.points[2 * p + 1])]);
      }
      const [track, percent, source, reason] = packed.modes.subarray(4 * mode, 4 * mode + 4);
      modes.push({ track, percent, source, reason, points });
    }
    frames.push({ seconds, agents, modes, answer: data.answers[i] });
  });
}
const MODEL = 0; // the first of the sources
const EGO = 0, STANDS = new Set(["static", "background", "construction", "riderless bicycle", "unknown"]);
const horizon = data.points_per_mode * data.shown_every_s;
let now = 0, playing = false, selected = null, zoom = 1;

// The futures fade: a layer for each of some strengths, each holding the pieces of all futures that have it.
const STRENGTHS = 8;
const layers = Array.from({ length: STRENGTHS }, (_, i) => {
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("stroke-opacity", (0.95 * (i + 1)) / STRENGTHS);
  path.setAttribute("stroke-width", 0.25 + (0.55 * (i + 1)) / STRENGTHS);
  return $("futures").appendChild(path);
});

function drawFutures(frame) {
  const pieces = Array.from({ length: STRENGTHS }, () => []);
  let extrapolations = "";
  for (const { track, percent, source, points } of frame.modes) {
    const agent = frame.agents.get(track);
    if (selected !== null && selected !== track) continue;
    let from = [agent.x, agent.y];
    if (source !== MODEL) {
      extrapolations += "M" + [from, ...points].map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L");
      continue;
    }
    points.forEach((to, i) => {
      const strength = Math.sqrt(percent / 100) * (1 - (0.75 * i) / points.length);
      const layer = Math.min(STRENGTHS - 1, Math.floor(strength * STRENGTHS));
      pieces[layer].push(`M${from[0].toFixed(2)} ${from[1].toFixed(2)}L${to[0].toFixed(2)} ${to[1].toFixed(2)}`);
      from = to;
    });
  }
  layers.forEach((layer, i) => layer.setAttribute("d", pieces[i].join("")));
  $("extrapolations").setAttribute("d", extrapolations);
}

function box({ track, x, y, heading }) {
  const [length, width] = data.tracks[track].size.map((side) => Math.max(side, 0.7) / 2);
  const cos = Math.cos(heading), sin = Math.sin(heading);
  const corner = (a, b) => `${(x + a * cos - b * sin).toFixed(2)} ${(y + a * sin + b * cos).toFixed(2)}`;
  // The ego's position is its rear axle, a third of its length before its middle.
  const shift = track === EGO ? length * 0.6 : 0;
  const front = shift + length, rear = shift - length;
  const nose = length > 1 ? `M${corner(front - 0.5 * width, width)}L${corner(front, 0)}L${corner(front - 0.5 * width, -width)}` : "";
  return { outline: `M${corner(front, width)}L${corner(front, -width)}L${corner(rear, -width)}L${corner(rear, width)}Z`, nose };
}

function drawAgents(frame) {
  const paths = { ego: "", selected: "", others: "", still: "", noses: "" };
  for (const agent of frame.agents.values()) {
    const { outline, nose } = box(agent);
    const stands = STANDS.has(data.tracks[agent.track].kind);
    const layer = agent.track === EGO ? "ego" : agent.track === selected ? "selected" : stands ? "still" : "others";
    paths[layer] += outline;
    if (!stands) paths.noses += nose;
  }
  for (const [id, path] of Object.entries(paths)) $(id).setAttribute("d", path);
}

function line(track, first, last) {
  const points = [];
  for (let i = Math.max(0, first); i <= Math.min(frames.length - 1, last); i++) {
    const agent = frames[i].agents.get(track);
    if (agent) points.push(`${agent.x.toFixed(2)} ${agent.y.toFixed(2)}`);
  }
  return points.length > 1 ? "M" + points.join("L") : "";
}

function drawPaths(frame) {
  let trails = "";
  for (const track of frame.agents.keys()) trails += line(track, now - 20, now);
  $("trails").setAttribute("d", trails);
  const shown = selected !== null && frame.agents.has(selected);
  $("truth").setAttribute("d", shown ? line(selected, now, now + Math.round(horizon / data.step_s)) : "");
}

function drawCard(frame) {
  const agent = selected === null ? undefined : frame.agents.get(selected);
  $("card").hidden = selected === null;
  if (selected === null) return;
  const track = data.tracks[selected];
  $("card").replaceChildren();
  const say = (tag, text) => ($("card").appendChild(document.createElement(tag)).textContent = text);
  say("b", selected === EGO ? "ego vehicle" : track.kind);
  say("div", track.id);
  const before = now > 0 ? frames[now - 1].agents.get(selected) : undefined;
  if (!agent) return say("div", "not seen in this frame");
  if (before) {
    const speed = Math.hypot(agent.x - before.x, agent.y - before.y) / (frame.seconds - frames[now - 1].seconds);
    say("div", `${speed.toFixed(1)} m/s`);
  }
  const modes = frame.modes.filter((mode) => mode.track === selected).sort((a, b) => b.percent - a.percent);
  if (modes.length === 0) return say("div", "not forecast");
  const { source, reason } = modes[0];
  say("div", source === MODEL ? "by the model" : `${data.sources[source]}, not by the model: ${data.reasons[reason]}`);
  const end = frames[now + Math.round(horizon / data.step_s)]?.agents.get(selected);
  for (const { percent, points } of modes) {
    const [x, y] = points[points.length - 1];
    const off = end ? `, ${Math.hypot(x - end.x, y - end.y).toFixed(1)} m off after ${horizon} s` : "";
    say("div", `${percent} %${off}`);
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = `${percent}%`;
    $("card").appendChild(bar);
  }
}

function look(frame) {
  const { width, height } = $("map").getBoundingClientRect();
  let x, y, across;
  if ($("view").value === "ego") {
    ({ x, y } = frame.agents.get(EGO));
    across = Math.max(70, Math.min(150, width / 8)) / zoom;
  } else {
    const xs = frames.map((f) => f.agents.get(EGO).x), ys = frames.map((f) => f.agents.get(EGO).y);
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    x = (left + right) / 2;
    y = (low + high) / 2;
    across = Math.max(right - left + 120, ((high - low + 120) * width) / height) / zoom;
  }
  const tall = (across * height) / width;
  $("map").setAttribute("viewBox", `${x - across / 2} ${-y - tall / 2} ${across} ${tall}`);
  const bar = [5, 10, 20, 50, 100].filter((m) => m < across / 5).pop() ?? 2;
  $("scale").firstElementChild.textContent = `${bar} m`;
  $("scale").lastElementChild.style.width = `${(bar * width) / across}px`;
}

function draw() {
  const frame = frames[now], { answer } = frame;
  look(frame);
  drawFutures(frame);
  drawAgents(frame);
  drawPaths(frame);
  drawCard(frame);
  $("notice").hidden = !answer.reason;
  $("notice").className = answer.source;
  $("notice").textContent = `${answer.source === "fallback" ? "extrapolated only" : "no forecast"}: ${answer.reason}`;
  const latency = answer.latency_ms === null ? "–" : `${answer.latency_ms.toFixed(1)} ms`;
  $("readout").textContent =
    `${frame.seconds.toFixed(1)} s · frame ${now + 1}/${frames.length} · ${answer.by_model} of ${frame.agents.size - 1} agents by the model, ${answer.objects - answer.by_model} extrapolated · ${latency}`;
  $("head").setAttribute("x", now);
  $("strip").setAttribute("aria-valuenow", now);
  $("play").textContent = playing ? "❚❚" : "▶";
}

function makeStrip() {
  const highest = Math.max(1.15 * data.budget_ms, ...frames.map((f) => f.answer.latency_ms ?? 0));
  const strip = $("strip");
  strip.setAttribute("viewBox", `0 0 ${frames.length} ${highest}`);
  strip.setAttribute("aria-valuemax", frames.length - 1);
  const add = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return strip.appendChild(element);
  };
  frames.forEach(({ answer }, x) => {
    const ms = answer.reason ? highest : answer.latency_ms;
    const kind = answer.reason ? answer.source : ms > data.budget_ms ? "late" : "bar";
    add("rect", { class: kind, x: x + 0.1, width: 0.8, y: highest - ms, height: ms });
  });
  add("line", { x1: 0, x2: frames.length, y1: highest - data.budget_ms, y2: highest - data.budget_ms });
  add("rect", { id: "head", x: 0, y: 0, width: 0.6, height: highest });
}

function go(frame) {
  now = Math.max(0, Math.min(frames.length - 1, frame));
  draw();
}

let since = null;
function tick(time) {
  if (!playing) return;
  if (since === null) since = { time, seconds: frames[now].seconds };
  const seconds = since.seconds + ((time - since.time) / 1000) * Number($("speed").value);
  let next = now;
  while (next + 1 < frames.length && frames[next + 1].seconds <= seconds) next++;
  if (next !== now) go(next);
  if (now === frames.length - 1) return pause();
  requestAnimationFrame(tick);
}

function play() {
  if (now === frames.length - 1) now = 0;
  playing = true;
  since = null;
  draw();
  requestAnimationFrame(tick);
}

function pause() {
  playing = false;
  draw();
}

function seek(event) {
  const { left, width } = $("strip").getBoundingClientRect();
  since = null;
  go(Math.floor(((event.clientX - left) / width) * frames.length));
}

$("play").onclick = () => (playing ? pause() : play());
$("back").onclick = () => { pause(); go(now - 1); };
$("on").onclick = () => { pause(); go(now + 1); };
$("speed").onchange = () => (since = null);
$("view").onchange = () => { zoom = 1; draw(); };
$("strip").onpointerdown = (event) => { $("strip").setPointerCapture(event.pointerId); seek(event); };
$("strip").onpointermove = (event) => { if (event.buttons) seek(event); };
$("map").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom = Math.max(0.3, Math.min(8, zoom * Math.exp(-event.deltaY / 500)));
  draw();
}, { passive: false });
$("map").onclick = (event) => {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform($("map").getScreenCTM().inverse());
  const distance = (agent) => Math.hypot(agent.x - at.x, agent.y + at.y);
  const nearest = [...frames[now].agents.values()].reduce((a, b) => (distance(a) < distance(b) ? a : b));
  selected = distance(nearest) < 6 ? nearest.track : null;
  draw();
};
document.onkeydown = (event) => {
  if (event.target.tagName === "SELECT") return;
  const keys = { " ": () => (playing ? pause() : play()), ArrowLeft: () => $("back").onclick(), ArrowRight: () => $("on").onclick(),
    Escape: () => { selected = null; draw(); }, Home: () => go(0), End: () => go(frames.length - 1) };
  if (keys[event.key] === undefined) return;
  event.preventDefault();
  keys[event.key]();
};
window.onresize = draw;

makeStrip();
// A link such as player.html#t=7.5&track=3 opens at a moment with an agent chosen.
const asked = new URLSearchParams(location.hash.slice(1));
if (asked.has("track")) selected = Number(asked.get("track"));
const first = frames.findIndex((f) => f.seconds >= Number(asked.get("t") ?? 0));
go(first < 0 ? frames.length - 1 : first);
