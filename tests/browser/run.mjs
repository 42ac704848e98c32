// Runs the browser tests: installs what they need into the build folder, once for each lock file, then runs them there, so that
// nothing is written beside the sources.
//
//   OBSERVER_BUILD=build node tests/browser/run.mjs [PATTERN]     the tests whose names match; all
//   OBSERVER_BUILD=build node tests/browser/run.mjs --file bench.mjs ARGUMENT...
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const build = resolve(process.env.OBSERVER_BUILD ?? "build");
const from = fileURLToPath(new URL(".", import.meta.url));
const to = join(build, "browser");
const installed = join(to, "node_modules", ".lock-of-this");

function install() {
  const lock = readFileSync(join(from, "package-lock.json"), "utf8");
  if (existsSync(installed) && readFileSync(installed, "utf8") === lock) return;
  rmSync(join(to, "node_modules"), { recursive: true, force: true });
  execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: to, stdio: "inherit", timeout: 300_000 });
  writeFileSync(installed, lock);
}

mkdirSync(to, { recursive: true });
for (const name of readdirSync(to)) if (name.endsWith(".mjs")) rmSync(join(to, name));
for (const name of readdirSync(from)) if (/\.mjs$|^package.*\.json$/.test(name)) cpSync(join(from, name), join(to, name));
install();

const [first, ...more] = process.argv.slice(2);
const env = { ...process.env, OBSERVER_BUILD: build, OBSERVER_SHOTS: process.env.OBSERVER_SHOTS ?? join(build, "browser", "shots") };
const run = (...command) => spawnSync(process.execPath, command, { cwd: to, env, stdio: "inherit" }).status ?? 1;

if (first === "--file") process.exit(run(...more));
// One file after another: each has a browser and daemons of its own.
const wanted = first ? ["--test-name-pattern", first] : [];
const tests = readdirSync(from).filter((name) => /^test_.*\.mjs$/.test(name));
// A browser on a busy machine loses a click now and then: a file that fails is tried once more, and says so.
const tried = (name) => {
  const status = run(...wanted, "--test-reporter=spec", name);
  if (status === 0) return 0;
  console.log(`${name} failed, and is tried once more`);
  return run(...wanted, "--test-reporter=spec", name);
};
process.exit(tests.map(tried).find((status) => status !== 0) ?? 0);
