// A WebSocket over HTTP/2: extended CONNECT (RFC 8441), one echo, a closing handshake.
"use strict";
const { connect, once, report } = require("./common.js");

function frame(opcode, payload) {
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = Buffer.from(payload.map((byte, i) => byte ^ mask[i % 4]));
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, masked]);
}

async function main() {
  const session = connect();
  const [settings] = await once(session, "remoteSettings");
  const stream = session.request(
    {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": process.argv[3],
      "sec-websocket-version": "13",
      "sec-websocket-protocol": "one, two",
    },
    { endStream: false },
  );
  const [response] = await once(stream, "response");
  const frames = [];
  let buffer = Buffer.alloc(0);
  stream.on("data", (data) => {
    buffer = Buffer.concat([buffer, data]);
    while (buffer.length >= 2 && buffer.length >= 2 + buffer[1]) {
      const opcode = buffer[0] & 15;
      const payload = buffer.subarray(2, 2 + buffer[1]);
      buffer = buffer.subarray(2 + buffer[1]);
      frames.push([opcode, opcode === 8 ? payload.readUInt16BE() : payload.toString()]);
      if (opcode === 1) stream.end(frame(8, Buffer.from([0x0f, 0xa1])));
    }
  });
  const ended = once(stream, "end");
  if (response[":status"] === 200) {
    stream.write(frame(1, Buffer.from("over HTTP/2")));
  }
  await ended;
  // The connection is as good as before for other requests.
  const other = session.request({ ":path": "/hello" });
  const [after] = await once(other, "response");
  other.resume();
  await once(other, "end");
  session.close();
  const enabled = settings.enableConnectProtocol;
  report({ enabled, response: { ...response }, frames, after: after[":status"] });
}

main();
