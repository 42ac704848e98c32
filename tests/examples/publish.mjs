// Publishes with node's own sockets and @msgpack/msgpack (npm ci); see proto/framing.md.
//
//   node publish.mjs [URL]      tcp://HOST:PORT, ws://HOST:PORT/PATH (Node 22, or 20 with --experimental-websocket),
//                               or http://HOST:PORT, https://HOST:PORT
//
// Over HTTP a daemon with keys gets that of OBSERVER_KEY_FILE (its first line) or OBSERVER_KEY; over TCP and WebSocket its
// listener names one. NODE_EXTRA_CA_CERTS names the authority of a certificate.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { setTimeout } from "node:timers/promises";
import { encode } from "@msgpack/msgpack";

// TCP: a greeting of 8 bytes each way (PUSH is protocol 0x50), then messages with their length before them.
async function publishTcp(url, ops) {
  const socket = net.connect(Number(url.port), url.hostname);
  socket.write("\0SP\0\0\x50\0\0", "latin1");
  await once(socket, "data"); // the other side's greeting
  const body = encode(ops);
  const head = Buffer.alloc(8);
  head.writeBigUInt64BE(BigInt(body.length));
  socket.end(Buffer.concat([head, body]));
  await once(socket, "close");
}

// WebSocket: the subprotocol names what the daemon's socket is; a binary message is a message.
async function publishWebSocket(url, ops) {
  const socket = new WebSocket(url, "pull.sp.nanomsg.org");
  await new Promise((open, failed) => Object.assign(socket, { onopen: open, onerror: failed }));
  socket.send(encode(ops));
  while (socket.bufferedAmount > 0) await setTimeout(5); // written is enough:
  socket.close(); // NNG does not always answer a close
  await Promise.race([once(socket, "close"), setTimeout(1000)]);
}

function findKey() {
  const { OBSERVER_KEY_FILE: file, OBSERVER_KEY: key } = process.env;
  return file ? readFileSync(file, "ascii").split("\n")[0].trim() : key;
}

// HTTP: the body is what a message is, and the answer says what became of it.
async function publishHttp(url, ops) {
  const key = findKey();
  const headers = { "content-type": "application/msgpack", ...(key && { authorization: `Bearer ${key}` }) };
  const answer = await fetch(new URL("/v1/observer/event", url), { method: "POST", headers, body: encode(ops) });
  if (!answer.ok) throw new Error(`${answer.status}: ${(await answer.json()).error}`);
}

const ways = { "tcp:": publishTcp, "ws:": publishWebSocket, "http:": publishHttp, "https:": publishHttp };
const url = new URL(process.argv[2] ?? "tcp://127.0.0.1:3801");
const ops = Array.from({ length: 100 }, (_, i) => ({
  endpoint: "/v1/chat", success: i > 0, duration_ms: i, source: "node", extra: { tokens: [i, 2 * i] },
}));
await ways[url.protocol](url, ops);
console.log(`published ${ops.length} ops to ${url.href}`);
process.exit();
