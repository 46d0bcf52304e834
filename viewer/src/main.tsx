// The start: a report carries its data in the page, the live viewer fetches them.
import { render } from "preact";
import { App } from "./app";
import { inlineSource } from "./source/inline";
import { serverSource, takeToken } from "./source/server";
import { SourceContext } from "./source/source";

const data = document.getElementById("turnsmith-data");
const root = document.getElementById("app");
if (root) {
  const source = data ? inlineSource(data.textContent ?? "{}") : serverSource(takeToken());
  render(<SourceContext.Provider value={source}><App /></SourceContext.Provider>, root);
}
