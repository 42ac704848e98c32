// Publishes with node's own sockets and @msgpack/msgpack (npm ci); see proto/framing.md.
//
//   node publish.mjs [URL]      tcp://HOST:PORT, or ws://HOST:PORT/PATH (Node 22, or 20 with --experimental-websocket)
import { once } from "node:events";
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

const url = new URL(process.argv[2] ?? "tcp://127.0.0.1:3801");
const ops = Array.from({ length: 100 }, (_, i) => ({
  endpoint: "/v1/chat", success: i > 0, duration_ms: i, source: "node", extra: { tokens: [i, 2 * i] },
}));
await (url.protocol === "ws:" ? publishWebSocket : publishTcp)(url, ops);
console.log(`published ${ops.length} ops to ${url.href}`);
process.exit();
