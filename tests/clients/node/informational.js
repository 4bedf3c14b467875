// 103 Early Hints and 100 Continue as events before the response.
"use strict";
const { connect, collect, report } = require("./common.js");

async function main() {
  const session = connect();
  const events = [];
  const hinted = session.request({ ":path": "/hints" });
  hinted.on("headers", (headers) => events.push([headers[":status"], headers.link]));
  hinted.on("response", (headers) => events.push([headers[":status"]]));
  await collect(hinted);
  const upload = session.request({ ":method": "POST", ":path": "/digest", expect: "100-continue" });
  upload.on("continue", () => {
    events.push([100]);
    upload.end("after the 100");
  });
  upload.on("response", (headers) => events.push([headers[":status"]]));
  const facts = JSON.parse(await collect(upload));
  session.close();
  report({ events, size: facts.size });
}

main();
