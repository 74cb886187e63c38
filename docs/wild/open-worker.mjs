// Behind the page that opens a checkpoint: files are laid unread where Python finds them, and the package answers.
import { ready } from "../runtime/qkv-worker.mjs";

const GIVEN = "/given";
let opened;
onmessage = async ({ data: { files, path, options, number }, ports: [port] }) => {
  const { FS, pyimport } = await ready, { WORKERFS } = FS.filesystems;
  if (files) {
    if (FS.analyzePath(GIVEN).exists) FS.unmount(GIVEN);
    else FS.mkdir(GIVEN);
    // A file that has changed can be read no more: for Python, an error like any other.
    WORKERFS.reader = { readAsArrayBuffer(part) { try { return new FileReaderSync().readAsArrayBuffer(part); } catch { throw new FS.ErrnoError(29); } } };
    FS.mount(WORKERFS, { blobs: files.map(([name, data]) => ({ name, data })) }, GIVEN);
    opened = pyimport("qkvdocs.wild").Opened(`${GIVEN}/${path}`, options, (said) => port.postMessage({ said }));
    port.postMessage(JSON.parse(opened.answer()));
  } else port.postMessage(JSON.parse(opened.pictures(number)));
};
