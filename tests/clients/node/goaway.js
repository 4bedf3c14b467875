// A request is in flight when the server is told to stop: GOAWAY comes, the request ends whole.
"use strict";
const { connect, collect, once, report } = require("./common.js");

async function main() {
  const session = connect();
  const codes = [];
  const request = session.request({ ":method": "POST", ":path": "/echo" });
  session.on("goaway", (code) => {
    codes.push(code);
    if (codes.length === 1) request.end("and its end");
  });
  const closed = once(session, "close");
  request.write("the beginning ");
  const body = collect(request);
  await once(request, "data");
  report("in flight");
  const text = (await body).toString();
  await closed;
  report({ codes, text, rst: request.rstCode });
}

main();
