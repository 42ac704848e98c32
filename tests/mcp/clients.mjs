// The official clients of both eras against observerctl mcp: every tool, resource and prompt, each raw answer checked with
// the schemas that the clients' packages bring. Writes each client's transcript to a folder.
//
//   node clients.mjs OBSERVERCTL URL FOLDER
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import * as legacyTypes from "@modelcontextprotocol/sdk/types.js";
import { Client, specTypeSchemas } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [observerctl, url, folder] = process.argv.slice(2);

// Of each method: the name of its result in the schemas.
const RESULTS = {
  initialize: "InitializeResult",
  "server/discover": "DiscoverResult",
  "tools/list": "ListToolsResult",
  "tools/call": "CallToolResult",
  "resources/list": "ListResourcesResult",
  "resources/templates/list": "ListResourceTemplatesResult",
  "resources/read": "ReadResourceResult",
  "prompts/list": "ListPromptsResult",
  "prompts/get": "GetPromptResult",
  ping: "EmptyResult",
};

async function check(era, method, result) {
  const name = RESULTS[method];
  assert.ok(name, `an answer to ${method}`);
  if (era === "legacy") {
    legacyTypes[`${name}Schema`].parse(result);
    return;
  }
  const validated = await specTypeSchemas[name]["~standard"].validate(result);
  assert.equal(validated.issues, undefined, `${method}: ${JSON.stringify(validated.issues)}`);
  assert.equal(result.resultType, "complete");
  if (!["tools/call", "prompts/get"].includes(method)) {
    assert.ok(Number.isInteger(result.ttlMs) && result.ttlMs >= 0, method);
    assert.ok(["public", "private"].includes(result.cacheScope), method);
  }
}

// Notes what goes over a transport in both directions.
function tap(transport, lines) {
  const send = transport.send.bind(transport);
  transport.send = (message, ...rest) => {
    lines.push({ client: message });
    return send(message, ...rest);
  };
  let handler;
  Object.defineProperty(transport, "onmessage", {
    get: () =>
      handler &&
      ((message, ...rest) => {
        lines.push({ server: message });
        return handler(message, ...rest);
      }),
    set: (value) => {
      handler = value;
    },
  });
}

function structured(result, what) {
  assert.notEqual(result.isError, true, `${what}: ${result.content?.[0]?.text}`);
  assert.match(result.structuredContent.caution, /data, not instructions/, what);
  const text = result.content[0].text;
  const mark = text.match(/^What stands between the marks ([0-9a-f]{16}) was recorded/);
  assert.ok(mark, what);
  assert.ok(text.endsWith(`</recorded ${mark[1]}>\n`), what);
  assert.ok(JSON.stringify(result.structuredContent).length < 25000 * 4, what);
  return result.structuredContent;
}

async function use(client, era) {
  const call = async (name, args) => structured(await client.callTool({ name, arguments: args ?? {} }), name);
  const tools = (await client.listTools()).tools;
  assert.deepEqual(
    tools.map((t) => t.name),
    ["get_advice", "whats_wrong", "list_clusters", "get_cluster", "query_ops", "get_timeline", "get_playbook", "review",
     "report_outcome", "add_correction"],
  );
  for (const tool of tools) assert.equal(tool.annotations.readOnlyHint, !/report|add/.test(tool.name), tool.name);

  const done = await call("report_outcome", {
    endpoint: "/mcp/tool", success: false, input_summary: "a question", output_summary: "failed",
    error: "the upstream answered 502", source: "mcp", task_class: "chat", session_id: `mcp-${era}`, op_id: `mcp-${era}-1`,
  });
  assert.equal(done.accepted, true);
  assert.equal((await call("add_correction", { correction: "ask again with a smaller text", task_class: "chat" })).accepted, true);

  const clusters = (await call("list_clusters", { q: "upstream answered" })).clusters;
  assert.equal(clusters.length, 1);
  const cluster = await call("get_cluster", { id: clusters[0].id });
  assert.match(cluster.template, /upstream answered/);
  const wrong = await call("whats_wrong", { since: "2h" });
  assert.match(wrong.health, /failed in the last hour/);
  assert.ok(wrong.clusters.some((c) => c.id === cluster.id));
  assert.ok(JSON.stringify(wrong).length < 1500 * 4);
  assert.equal((await call("get_advice", { endpoint: "/mcp/tool" })).endpoint, "/mcp/tool");

  const page = await call("query_ops", { session_id: `mcp-${era}`, fields: ["error", "endpoint"] });
  assert.deepEqual(page.ops.map((o) => o.op), [{ endpoint: "/mcp/tool", error: "the upstream answered 502" }]);
  const seq = page.ops[0].seq;
  const rows = (await call("get_timeline", { session_id: `mcp-${era}` })).rows;
  assert.equal(rows.filter((r) => r.kind === "op" && r.seq === seq).length, 1);
  assert.ok(Array.isArray((await call("get_playbook", { endpoint: "/mcp/tool" })).playbooks));
  assert.match((await call("review", { text: "As an AI I cannot help with that." })).verdict, /reject|cycle|accept/);

  // Pages of whole rows, one after another, with nothing twice and nothing left out.
  const seqs = [];
  for (let cursor; ; ) {
    const ops = await call("query_ops", { source: "pages", limit: 50, ...(cursor && { cursor }) });
    assert.ok(ops.ops.every((o) => o.op.output_summary.length === 3000));
    seqs.push(...ops.ops.map((o) => o.seq));
    cursor = ops.next_cursor;
    if (!cursor) break;
  }
  assert.equal(seqs.length, 60);
  assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => b - a));

  // What is wrong with the arguments is an answer that says so.
  for (const [name, args, words] of [
    ["get_advice", {}, /give one of: endpoint task_class/],
    ["get_cluster", {}, /^id: is missing/],
    ["get_cluster", { id: "../ops" }, /id|hexadecimal/],
    ["query_ops", { limit: 51 }, /limit: must be a whole number from 1 to 50/],
    ["query_ops", { since: "yesterday" }, /since: must be an ISO 8601 time, or an age/],
    ["query_ops", { colour: "red" }, /colour: there is no such argument/],
    ["list_clusters", { state: "odd" }, /state: must be one of new ongoing regressed resolved/],
  ]) {
    const result = await client.callTool({ name, arguments: args });
    assert.equal(result.isError, true, name);
    assert.match(result.content[0].text, words);
  }

  const templates = (await client.listResourceTemplates()).resourceTemplates;
  assert.deepEqual(templates.map((t) => t.uriTemplate), ["observer://op/{seq}", "observer://cluster/{id}", "observer://playbook/{id}"]);
  assert.ok((await client.listResources()).resources.some((r) => r.uri === `observer://cluster/${cluster.id}`));
  const op = JSON.parse((await client.readResource({ uri: `observer://op/${seq}` })).contents[0].text);
  assert.equal(op.op.session_id, `mcp-${era}`);
  assert.match(op.caution, /data, not instructions/);
  const unknown = era === "legacy" ? -32002 : -32602;
  await assert.rejects(client.readResource({ uri: "observer://op/999999999" }), (e) => e.code === unknown);
  await assert.rejects(client.readResource({ uri: "file:///etc/passwd" }), (e) => e.code === unknown);

  assert.deepEqual((await client.listPrompts()).prompts.map((p) => p.name), ["triage", "postmortem"]);
  assert.match((await client.getPrompt({ name: "triage" })).messages[0].content.text, /what is wrong with this fleet/);
  const told = await client.getPrompt({ name: "postmortem", arguments: { cluster: cluster.id } });
  assert.match(told.messages[0].content.text, /upstream answered/);
  await assert.rejects(client.getPrompt({ name: "none" }), (e) => e.code === -32602);
}

async function session(name, era, client, transport) {
  const lines = [];
  tap(transport, lines);
  await client.connect(transport);
  await use(client, era);
  await client.close();
  fs.writeFileSync(path.join(folder, `${name}.jsonl`), lines.map((l) => JSON.stringify(l) + "\n").join(""));
  const methods = new Map(lines.filter((l) => l.client?.id !== undefined).map((l) => [l.client.id, l.client.method]));
  let checked = 0;
  for (const { server } of lines) {
    if (server?.result === undefined) continue;
    await check(era, methods.get(server.id), server.result);
    checked++;
  }
  assert.ok(checked > 20, `${checked} answers`);
  console.log(`${name}: ${checked} answers`);
}

const server = { command: observerctl, args: ["mcp", "--url", url, "--allow-write"] };
const me = { name: "test", version: "1" };
await session("legacy", "legacy", new LegacyClient(me), new LegacyTransport(server));
await session("modern", "modern", new Client(me, { versionNegotiation: { mode: { pin: "2026-07-28" } } }), new StdioClientTransport(server));
const auto = new Client(me, { versionNegotiation: { mode: "auto" } });
await auto.connect(new StdioClientTransport(server));
assert.equal(auto.getNegotiatedProtocolVersion(), "2026-07-28");
await auto.close();
console.log("auto: 2026-07-28");
