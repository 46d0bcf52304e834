// Builds the front end into the package: one script, one style sheet. `npm ci && npm run build` in this folder.
//
// The first line of each built file carries a digest of the sources, so that a test can tell without Node whether the
// committed build is the one of these sources.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
const target = join(here, "..", "src", "turnsmith", "view", "static");

function sources(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

export function digest() {
  const hash = createHash("sha256");
  const files = [...sources(join(here, "src")), join(here, "build.mjs"), join(here, "package-lock.json")];
  const named = files.map((file) => [relative(here, file).split(sep).join("/"), file]);
  for (const [name, file] of named.sort((a, b) => (a[0] < b[0] ? -1 : 1))) {
    hash.update(name + "\0").update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}

const preact = readFileSync(join(here, "node_modules", "preact", "LICENSE"), "utf8").trim();
const mark = `/* Turnsmith viewer, built by viewer/build.mjs. sources ${digest()} */`;
mkdirSync(target, { recursive: true });
await build({
  entryPoints: [join(here, "src", "main.tsx")],
  outfile: join(target, "viewer.js"),
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "ascii", // the script is also written into report.html, whatever that file's encoding becomes on its way
  banner: { js: `${mark}\n/* Contains Preact.\n${preact}\n*/` },
});
await build({
  entryPoints: [join(here, "src", "style", "index.css")],
  outfile: join(target, "viewer.css"),
  bundle: true,
  minify: true,
  banner: { css: mark },
});
