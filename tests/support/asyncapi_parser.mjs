// agent/asyncapi.yaml as AsyncAPI's own parser finds it: its diagnostics, and exit status 1 if it is no document to it.
//
//     npm install --prefix build/asyncapi @asyncapi/parser
//     node tests/support/asyncapi_parser.mjs
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const { Parser, fromFile } = createRequire(new URL("build/asyncapi/", root))("@asyncapi/parser");
const { document, diagnostics } = await fromFile(new Parser(), fileURLToPath(new URL("agent/asyncapi.yaml", root))).parse();
for (const found of diagnostics) {
    console.log(`${found.path.join(".")}: ${found.message}`);
}
console.log(document ? "a valid document" : "not a valid document");
process.exit(document ? 0 : 1);
