// Behind <qkv-ask>: files of the packed model are laid where Python finds them, and a function answers in JSON.
import { ready } from "./runtime/qkv-worker.mjs";

const runtime = new URL("runtime/", import.meta.url).href, kept = new Map();
// Each is asked for once, by its hash.
const keep = async (name, sha256, port) => {
  const address = `${runtime}${name}?${encodeURIComponent(sha256)}`;
  const data = await (await fetch(address, { integrity: `sha256-${sha256}` })).arrayBuffer();
  const { FS } = await ready;
  FS.mkdirTree(name.replace(/\/[^/]*$/, ""));
  FS.writeFile(name, new Uint8Array(data));
  port.postMessage({ kept: name });
};
let reply;
onmessage = async ({ data: { request, files }, ports: [port] }) => {
  for (const [name, sha256] of files) if (!kept.has(name)) kept.set(name, keep(name, sha256, port));
  await Promise.all(kept.values());
  reply ??= (await ready).pyimport("qkvdocs.ask").reply;
  port.postMessage(JSON.parse(reply(JSON.stringify(request))));
};
