// Python, numpy and this site's package, all from the folder that this file is in: behind <qkv-run>, and behind
// pages that call a function of the package.
import { loadPyodide } from "./pyodide.mjs";

const here = new URL("./", import.meta.url).href, kept = new Map();
// Always asked for anew: the index names the other files by their hashes.
const read = async (name) => (await fetch(here + name, { cache: "no-cache" })).text();
const start = async () => {
	// An empty module. Where a host forbids it, the loader would wait for ever.
	await WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
	const python = await loadPyodide({
		indexURL: here,
		packageBaseUrl: here,
		lockFileContents: await read("pyodide-lock.json"),
		packages: ["qkvdocs"],
	});
	python.runPython("import qkvdocs.core, qkvdocs.numbers");
	return python;
};
const ready = start();
let answer;
const run = async (python, { page, fence, code }, port) => {
	answer ??= python.runPython(`${await read("run.py")}\nanswer`);
	const fences = JSON.parse(await read(page));
	port.postMessage({});
	port.postMessage(JSON.parse(answer(JSON.stringify([fences, fence, code]))));
};
// A file is asked for once, by its hash, and laid where Python finds it.
const keep = async (python, name, sha256, port) => {
	const data = await (await fetch(`${here}${name}?${sha256.slice(0, 8)}`, { integrity: `sha256-${sha256}` })).arrayBuffer();
	const { FS } = await python;
	FS.mkdirTree(name.replace(/\/[^/]*$/, ""));
	FS.writeFile(name, new Uint8Array(data));
	port.postMessage({ kept: name });
};
// `call` is `module:function`, from JSON to JSON.
const ask = async ({ call, request, files }, port) => {
	for (const [name, sha256] of files) if (!kept.has(name)) kept.set(name, keep(ready, name, sha256, port));
	await Promise.all(files.map(([name]) => kept.get(name)));
	const [module, name] = call.split(":"), made = (await ready).pyimport(module);
	port.postMessage(JSON.parse(made[name](JSON.stringify(request))));
};
onmessage = async ({ data, ports: [port] }) => data.call ? ask(data, port) : run(await ready, data, port);
// The page hears errors only.
onunhandledrejection = ({ reason }) => {
	throw reason;
};
