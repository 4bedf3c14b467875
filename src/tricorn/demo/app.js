"use strict";

const element = (id) => document.getElementById(id);
const NAMES = { "http/1.0": "HTTP/1.0", "http/1.1": "HTTP/1.1", h2: "HTTP/2", h3: "HTTP/3" };
// A response from the browser's memory names no protocol.
const protocolName = (token) => NAMES[token] || token || "memory";

// What the browser sees

function showResources() {
  const [page] = performance.getEntriesByType("navigation");
  element("next-hop").textContent = protocolName(page.nextHopProtocol);
  const rows = [page, ...performance.getEntriesByType("resource")].filter(
    (entry) => !entry.name.includes("/events"),
  );
  element("resources").replaceChildren(...rows.map(resourceRow));
}

function resourceRow(entry) {
  const row = document.createElement("tr");
  const name = new URL(entry.name).pathname.split("/").pop() || "this page";
  const cells = [name, protocolName(entry.nextHopProtocol), askedForBy(entry)];
  for (const text of [...cells, entry.duration.toFixed(0)]) {
    const cell = row.insertCell();
    cell.textContent = text;
  }
  row.lastChild.className = "number";
  return row;
}

function askedForBy(entry) {
  if (entry.initiatorType === "early-hints") return "early hints";
  return entry.entryType === "navigation" ? "you" : "the page";
}

// WebSocket echo

const RETRY_DELAY = 2000; // milliseconds
let socket = null;
let sentAt = [];

function connectSocket() {
  const address = new URL("echo", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  let greeted = false;
  socket = new WebSocket(address);
  sentAt = [];
  socket.onmessage = (event) => {
    if (greeted) {
      const took = performance.now() - sentAt.shift();
      logMessage("received", `← ${event.data} (${took.toFixed(1)} ms)`);
      return;
    }
    greeted = true;
    showSocket(JSON.parse(event.data));
  };
  socket.onclose = (event) => {
    element("socket-send").disabled = true;
    element("socket-status").textContent = `Closed with code ${event.code}; connecting again.`;
    setTimeout(connectSocket, RETRY_DELAY);
  };
}

function showSocket(facts) {
  const how =
    facts.http_version === "2"
      ? "as one stream of an HTTP/2 connection"
      : "on a connection of its own";
  const strong = document.createElement("strong");
  strong.id = "socket-protocol";
  strong.textContent = `HTTP/${facts.http_version}`;
  element("socket-status").replaceChildren("Open over ", strong, `, ${how}.`);
  element("socket-send").disabled = false;
}

function logMessage(kind, text) {
  const log = element("socket-log");
  const item = document.createElement("li");
  item.className = kind;
  item.textContent = text;
  log.append(item);
  while (log.childElementCount > 200) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

element("socket-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element("socket-text");
  if (socket.readyState !== WebSocket.OPEN) return;
  sentAt.push(performance.now());
  logMessage("sent", `→ ${input.value}`);
  socket.send(input.value);
  input.select();
});

// Server-sent events

let source = null;
let connections = 0;

function startEvents() {
  source = new EventSource("events");
  connections = 0;
  element("events-status").textContent = "Connecting.";
  element("events-toggle").textContent = "Stop";
  source.onopen = () => {
    connections += 1;
    const again = connections > 1 ? ` again (connection ${connections})` : "";
    element("events-status").textContent = `Connected${again}; one event each second.`;
  };
  source.onmessage = (event) => {
    element("events-count").textContent = JSON.parse(event.data).count;
  };
  source.onerror = () => {
    element("events-status").textContent = "Lost the connection; the browser tries again.";
    // A browser gives up for good on an error status: start over ourselves.
    if (source.readyState === EventSource.CLOSED) setTimeout(startEvents, RETRY_DELAY);
  };
}

function stopEvents() {
  source.close();
  source = null;
  element("events-status").textContent = "Stopped.";
  element("events-toggle").textContent = "Start";
}

element("events-toggle").addEventListener("click", () => (source ? stopEvents() : startEvents()));
element("events-toggle").disabled = false;

window.addEventListener("load", () => {
  connectSocket();
  startEvents();
  // The entry of the page itself is complete only after this event.
  setTimeout(showResources);
});
