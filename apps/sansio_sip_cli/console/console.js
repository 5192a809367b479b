"use strict";
// Whatever comes from the network is put in as text, never as markup.
const at = (id) => document.getElementById(id);
const cell = (text, kind) => {
  const td = document.createElement("td");
  td.textContent = text;
  if (kind) td.className = kind;
  return td;
};
const row = (...cells) => {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
};
const fill = (id, rows, columns, nothing, total = rows.length) => {
  const more = total - rows.length;
  if (!rows.length || more > 0) {
    const td = cell(rows.length ? `and ${more} more` : nothing, "soft");
    td.colSpan = columns;
    rows.push(row(td));
  }
  at(id).replaceChildren(...rows);
};
const seconds = (value) => {
  const whole = Math.max(0, Math.round(value));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};
const badge = (state) => {
  const td = document.createElement("td"), span = document.createElement("span");
  span.className = `badge ${state}`;
  span.textContent = state;
  td.append(span);
  return td;
};
const figure = (name, value) => {
  const card = document.createElement("div"), number = document.createElement("b");
  card.className = "card";
  number.textContent = value;
  card.append(number, name);
  return card;
};

let board = null, arrived = 0;

const draw = () => {
  if (!board) return;
  const now = board.now + (performance.now() - arrived) / 1000;
  at("urls").textContent = `${board.urls.join("  ")}  up for ${seconds(now - board.since)}`;
  const counts = board.counts;
  at("figures").replaceChildren(
    figure("registrations", board.registered), figure("calls now", board.underway),
    figure("calls so far", counts.calls), figure("answered", counts.answered), figure("failed", counts.failed),
    figure("messages sent", counts.messages));
  fill("calls", board.calls.map((call) => row(cell(call.from), cell(call.to), badge(call.state),
    cell(seconds(now - (call.answered || call.began)), "number"))), 4, "Nobody talks.", board.underway);
  fill("registrations", board.registrations.map((each) => row(cell(each.address), cell(each.contact),
    cell(each.transport))), 3, "Nobody is here.", board.registered);
  fill("ended", board.ended.map((call) => row(cell(call.from), cell(call.to), cell(call.state),
    cell(call.answered ? seconds(call.ended - call.answered) : "", "number"))), 4, "None yet.");
  fill("messages", board.messages.map((each) => row(cell(new Date(each.at * 1000).toLocaleTimeString("en-GB"), "time"),
    cell(each.label), cell(each.from), cell(each.to))), 4, "None yet.");
};

const watch = () => {
  const url = new URL("live", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.search = location.search;
  const socket = new WebSocket(url);
  const say = (text, kind) => { at("state").textContent = text; at("state").className = kind; };
  socket.addEventListener("open", () => say("live", "good"));
  socket.addEventListener("message", (event) => {
    board = JSON.parse(event.data);
    arrived = performance.now();
    draw();
  });
  socket.addEventListener("close", () => { say("not connected", "poor"); setTimeout(watch, 2000); });
};
setInterval(draw, 1000);
watch();
