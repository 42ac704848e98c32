// Screenshots to look at, of a daemon that runs (`observerctl demo` fills one):
//
//   OBSERVER_BUILD=build node run.mjs --file shots.mjs URL OUTDIR [VIEW...] [--size wide|middle|phone] [--scheme light|dark] [--full]
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { launch, sizes, views, Watched } from "./harness.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { size: { type: "string", multiple: true }, scheme: { type: "string", multiple: true }, full: { type: "boolean" }, wait: { type: "string", default: "1500" } },
});
const [url, out, ...wanted] = positionals;
mkdirSync(out, { recursive: true });
const browser = await launch();
for (const scheme of values.scheme ?? ["light", "dark"])
  for (const size of values.size ?? Object.keys(sizes)) {
    const watched = await Watched.open(browser, url.replace(/\/$/, ""), { size, scheme });
    for (const view of wanted.length ? wanted : views) {
      const hash = view.startsWith("#") ? view : `#/${view}`;
      await watched.go(hash);
      await new Promise((resolve) => setTimeout(resolve, Number(values.wait)));
      const name = hash.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "");
      await watched.page.screenshot({ path: join(out, `${name}-${size}-${scheme}.png`), fullPage: values.full });
      const wider = await watched.overflow();
      if (wider > 0) console.log(`${name} ${size}: ${wider} px wider than the window`);
    }
    for (const problem of watched.problems) console.log(`${size} ${scheme}: ${problem}`);
    await watched.context.close();
  }
await browser.close();
