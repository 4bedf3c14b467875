// HTTP/1.1 over TLS: an agent that keeps connections, trailers both ways, early hints.
"use strict";
const https = require("node:https");
const { port, collect, once, report } = require("./common.js");

async function main() {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 2 });
  const base = { host: "127.0.0.1", port, agent };

  function send(options, body, prepare = () => {}) {
    const request = https.request({ ...base, ...options });
    prepare(request);
    const response = once(request, "response").then(async ([message]) => {
      const content = await collect(message);
      return { message, text: content.toString() };
    });
    request.end(body);
    return response;
  }

  const peers = new Set();
  const work = [];
  for (let i = 0; i < 20; i++) work.push(send({ path: "/scope" }));
  for (const { text } of await Promise.all(work)) peers.add(JSON.parse(text).client[1]);
  const headers = { te: "trailers", connection: "TE, keep-alive", trailer: "x-request-sum" };
  const { message, text } = await send(
    { method: "POST", path: "/trailers", headers },
    "body",
    (request) => request.addTrailers({ "x-request-sum": "17" }),
  );
  const hints = [];
  const hinted = await send({ path: "/hints" }, undefined, (request) =>
    request.on("information", (info) => hints.push([info.statusCode, info.headers.link])),
  );
  agent.destroy();
  const { trailers, httpVersion } = message;
  report({ peers: peers.size, text, trailers, httpVersion, hints, hinted: hinted.text });
}

main();
