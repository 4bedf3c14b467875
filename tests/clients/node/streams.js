// Many streams at once on one session, some of them cancelled, and a ping among them.
"use strict";
const http2 = require("node:http2");
const crypto = require("node:crypto");
const { connect, collect, once, report } = require("./common.js");

async function exchange(session, number) {
  const body = Buffer.alloc(3000 + 37 * number, number % 251);
  const request = session.request({ ":method": "POST", ":path": "/echo" });
  request.end(body);
  return Buffer.compare(await collect(request), body) === 0;
}

async function cancelled(session, key) {
  const request = session.request({ ":path": `/endless/${key}` });
  await once(request, "data");
  const closed = once(request, "close");
  request.close(http2.constants.NGHTTP2_CANCEL);
  await closed;
  const question = session.request({ ":path": `/end/${key}` });
  return JSON.parse(await collect(question));
}

async function refused(session) {
  const request = session.request({ ":method": "POST", ":path": "/refuse" }, { endStream: false });
  const closed = once(request, "close");
  const body = await collect(request);
  await closed;
  return [body.toString(), request.rstCode];
}

async function main() {
  const session = connect();
  const ping = new Promise((resolve, reject) => {
    session.once("connect", () => {
      const payload = Buffer.from("8 octets");
      session.ping(payload, (error, duration, echoed) =>
        error ? reject(error) : resolve(Buffer.compare(echoed, payload) === 0),
      );
    });
  });
  // Below the stream limit: a cancelled stream counts until its application has ended.
  const work = [];
  for (let number = 0; number < 60; number++) work.push(exchange(session, number));
  const leaving = [];
  for (let i = 0; i < 5; i++) leaving.push(cancelled(session, crypto.randomUUID()));
  const ends = await Promise.all(leaving);
  await Promise.all(work);
  // Above it: Node itself holds back what the server's limit does not allow yet.
  for (let number = 60; number < 300; number++) work.push(exchange(session, number));
  const equal = (await Promise.all(work)).filter(Boolean).length;
  report({ equal, ends, ping: await ping, refused: await refused(session) });
  session.close();
}

main();
