// Behind <qkv-run>: Python, numpy and this site's package, all from the folder that this file is in.
import { loadPyodide } from "./pyodide.mjs";

const here = new URL("./", import.meta.url).href;
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
	return python.runPython(`${await read("run.py")}\nanswer`);
};
const ready = start();
onmessage = async ({ data: { page, fence, code }, ports: [port] }) => {
	const answer = await ready, fences = JSON.parse(await read(page));
	port.postMessage({});
	port.postMessage(JSON.parse(answer(JSON.stringify([fences, fence, code]))));
};
// The page hears errors only.
onunhandledrejection = ({ reason }) => {
	throw reason;
};
