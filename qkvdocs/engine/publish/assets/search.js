// Stands before the theme's search worker, and brings it and the index when the first letter is typed.
// Their messages: 0 set up, 1 ready, 2 ask, 3 answer.
const post = postMessage;
const pass = (data) => dispatchEvent(new MessageEvent("message", { data }));
let setup, asked, loading, ready;

addEventListener("message", async (event) => {
	if (ready || !event.isTrusted) return;
	event.stopImmediatePropagation();
	const { type, data } = event.data;
	if (type === 0) {
		setup = data;
		return post({ type: 1 });
	}
	asked = event.data; // Only the newest question counts.
	if (loading) return;
	if (!data) return post({ type: 3, data: { items: [] } });
	loading = true;
	const index = await (await fetch(new URL("../../../search/index.json", location))).json();
	postMessage = (message) => {
		if (message.type !== 1) return post(message);
		ready = true;
		pass(asked);
	};
	importScripts("REAL");
	pass({ type: 0, data: { ...setup, ...index } });
});
