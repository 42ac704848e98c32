// Bundles the page into dist/: index.html, app-HASH.js, app-HASH.css, licenses.txt. The same sources and the same lock
// file give the same bytes on every machine; scripts/plane.sh compares them with what is committed.
//
//   node build.mjs [--out DIR]
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const RAW_MAX = 200 * 1024;
const PACKED_MAX = 70 * 1024;
const LIBRARIES = ['preact', '@preact/signals', '@preact/signals-core'];

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf('--out');
const out = at > 0 ? process.argv[at + 1] : join(here, 'dist');

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.tsx' },
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2021',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  charset: 'utf8',
  legalComments: 'none',
  outdir: 'dist',
  write: false,
});

const names = {};
const files = {};
for (const { path, contents } of result.outputFiles) {
  const extension = path.endsWith('.css') ? 'css' : 'js';
  const hash = createHash('sha256').update(contents).digest('hex').slice(0, 10);
  names[extension] = `app-${hash}.${extension}`;
  files[names[extension]] = contents;
}
const page = readFileSync(join(here, 'src/index.html'), 'utf8')
  .replace('APP_CSS', `/assets/${names.css}`)
  .replace('APP_JS', `/assets/${names.js}`);
files['index.html'] = Buffer.from(page);

let raw = 0;
let packed = 0;
for (const contents of Object.values(files)) {
  raw += contents.length;
  packed += gzipSync(contents, { level: 9 }).length;
}
const notices = LIBRARIES.map((name) => {
  const { version } = JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8'));
  return `${name} ${version}\n\n${readFileSync(join(here, 'node_modules', name, 'LICENSE'), 'utf8').trim()}\n`;
});
files['licenses.txt'] = Buffer.from(`The page contains these libraries.\n\n${notices.join('\n----\n\n')}`);

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const [name, contents] of Object.entries(files)) writeFileSync(join(out, name), contents);
console.log(`page: ${raw} bytes, ${packed} with gzip (at most ${RAW_MAX} and ${PACKED_MAX})`);
if (raw > RAW_MAX || packed > PACKED_MAX) process.exit(1);
