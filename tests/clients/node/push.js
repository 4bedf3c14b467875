// Pushed streams come as events of the session; refusing one leaves the others alone.
"use strict";
const http2 = require("node:http2");
const { connect, collect, once, report } = require("./common.js");

async function main() {
  const refused = process.argv[3];
  const session = connect();
  const order = [];
  const pushed = {};
  const ends = [];
  session.on("stream", (stream, request) => {
    const path = request[":path"];
    order.push(path);
    const found = { request: { ...request }, id: stream.id };
    pushed[path] = found;
    if (path === refused) {
      stream.close(http2.constants.NGHTTP2_CANCEL);
      stream.resume();
      ends.push(once(stream, "close"));
      return;
    }
    stream.on("push", (headers) => (found.response = { ...headers }));
    ends.push(collect(stream).then((body) => (found.body = body.toString())));
  });
  const request = session.request({ ":path": "/push" });
  request.on("response", () => order.push("response"));
  request.once("data", () => order.push("data"));
  const body = await collect(request);
  await Promise.all(ends);
  session.close();
  report({ order, pushed, length: body.length });
}

main();
