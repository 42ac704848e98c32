// A daemon of made-up answers, for looking at the page while it is written.
//
//   node tests/browser/mock.mjs [PORT] [--to URL]     routes that are not made up here are asked of the daemon at URL
//
// The state of the fleet is chosen by the query of the page's own address: /?mock=empty|demo|many|broken|key|offline.
import { createServer } from 'node:http';
import { readFileSync, readdirSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { routes } from './mock_routes.mjs';

const dist = process.env.PLANE_DIST || join(dirname(fileURLToPath(import.meta.url)), '../../src/plane/dist');
const port = Number(process.argv[2]) || 3880;
const at = process.argv.indexOf('--to');
const behind = at > 0 ? process.argv[at + 1] : null;
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', txt: 'text/plain; charset=utf-8' };
let mode = 'demo';

function page(url, answer) {
  const name = url.pathname === '/' ? 'index.html' : url.pathname.slice('/assets/'.length);
  if (url.searchParams.has('mock')) mode = url.searchParams.get('mock');
  if (!readdirSync(dist).includes(name)) return json(answer, 404, { error: 'no such file' });
  answer.writeHead(200, { 'content-type': TYPES[name.split('.').pop()], 'content-security-policy': CSP, 'cache-control': 'no-store' });
  answer.end(readFileSync(join(dist, name)));
}

function json(answer, status, body) {
  answer.writeHead(status, { 'content-type': 'application/json' });
  answer.end(JSON.stringify(body) + '\n');
}

async function pass(request, url, answer) {
  const body = [];
  for await (const part of request) body.push(part);
  try {
    const got = await fetch(new URL(url.pathname + url.search, behind), { method: request.method, body: body.length ? Buffer.concat(body) : undefined });
    answer.writeHead(got.status, { 'content-type': got.headers.get('content-type') ?? 'application/json' });
    answer.end(Buffer.from(await got.arrayBuffer()));
  } catch {
    answer.destroy();
  }
}

createServer((request, answer) => {
  const url = new URL(request.url, `http://127.0.0.1:${port}`);
  if (url.pathname === '/' || url.pathname.startsWith('/assets/')) return page(url, answer);
  if (mode === 'offline') return answer.destroy();
  if (mode === 'key' && request.headers['x-api-key'] !== 'good') return json(answer, request.headers['x-api-key'] === 'ingest' ? 403 : 401, { error: 'a key with the scope read is needed' });
  const name = url.pathname.replace(/^\/(v1\/)?observer\//, '');
  for (const [pattern, make] of routes) {
    const found = pattern.exec(name);
    if (!found) continue;
    const [status, body] = make({ mode, url, part: found[1], query: url.searchParams });
    return json(answer, status, body);
  }
  if (behind) return void pass(request, url, answer);
  json(answer, 404, { error: `no route ${url.pathname}` });
}).listen(port, '127.0.0.1', () => console.log(`mock  http://127.0.0.1:${port}/${existsSync(dist) ? '' : ' (nothing is built)'}`));
