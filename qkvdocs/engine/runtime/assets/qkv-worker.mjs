// Behind <qkv-run>: Python, numpy and this site's package, all from this file's folder.
import { loadPyodide } from "./pyodide.mjs";

const here = new URL("./", import.meta.url).href;
// Asked anew: the index has the others' hashes.
const read = async (name) => (await fetch(here + name, { cache: "no-cache" })).text();
const start = async () => {
	// An empty module: where a host forbids it, the loader would wait for ever.
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
// Other workers import it.
export const ready = start();
let answer;
onmessage = async ({ data: { page, fence, code }, ports: [port] }) => {
	answer ??= (await ready).runPython(`${await read("run.py")}\nanswer`);
	const fences = JSON.parse(await read(page));
	port.postMessage({});
	port.postMessage(JSON.parse(answer(JSON.stringify([fences, fence, code]))));
};
// Pages hear errors only.
onunhandledrejection = ({ reason }) => {
	throw reason;
};
