// Trailer fields in both directions.
"use strict";
const { connect, collect, once, report } = require("./common.js");

async function main() {
  const session = connect();
  const request = session.request(
    { ":method": "POST", ":path": process.argv[3], te: "trailers" },
    { waitForTrailers: true },
  );
  request.on("wantTrailers", () => request.sendTrailers({ "x-request-sum": "17" }));
  const trailers = once(request, "trailers");
  const message = Buffer.from("\0\0\0\0\u0005hello");
  request.write(message);
  request.end(message);
  const body = await collect(request);
  const [fields] = await trailers;
  session.close();
  report({ body: body.toString(), trailers: { ...fields } });
}

main();
