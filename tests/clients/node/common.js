// Shared by the scripts: an HTTP/2 session to 127.0.0.1:PORT, and a JSON result on stdout.
"use strict";
const http2 = require("node:http2");

const port = Number(process.argv[2]);

function connect(options) {
  // The test's CA is trusted by way of NODE_EXTRA_CA_CERTS.
  const session = http2.connect(`https://127.0.0.1:${port}`, options);
  session.on("error", fail);
  return session;
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

function collect(stream) {
  return new Promise((resolve, reject) => {
    const parts = [];
    stream.on("data", (part) => parts.push(part));
    stream.on("end", () => resolve(Buffer.concat(parts)));
    stream.on("error", reject);
  });
}

function once(emitter, name) {
  return new Promise((resolve, reject) => {
    emitter.once(name, (...values) => resolve(values));
    emitter.once("error", reject);
  });
}

function report(result) {
  process.stdout.write(JSON.stringify(result) + "\n");
}

process.on("unhandledRejection", fail);
module.exports = { port, connect, fail, collect, once, report };
