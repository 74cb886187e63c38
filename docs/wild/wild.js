// Tables that sort and filter, and the page that opens a checkpoint. Without script both stay readable.
const $ = (tag, props = {}, ...kids) => {
  const e = Object.assign(document.createElement(tag), props)
  e.append(...kids)
  return e
}

for (const table of document.querySelectorAll('table[id]')) for (const [at, th] of [...table.tHead.rows[0].cells].entries()) {
  const button = $('button', { type: 'button', textContent: th.textContent, title: 'Sort' })
  button.onclick = () => {
    const up = th.getAttribute('aria-sort') !== 'ascending'
    for (const other of th.parentNode.cells) other.removeAttribute('aria-sort')
    th.setAttribute('aria-sort', up ? 'ascending' : 'descending')
    const rows = [...table.tBodies[0].rows].sort((a, b) => a.cells[at].textContent.localeCompare(b.cells[at].textContent, 'en', { numeric: true }))
    table.tBodies[0].append(...up ? rows : rows.reverse())
  }
  th.replaceChildren(button)
}
for (const field of document.querySelectorAll('[data-grid]')) {
  const rows = [...document.getElementById(field.dataset.grid).tBodies[0].rows], box = field.closest('.grid-filter')
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/)
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word))
    const left = rows.filter(row => !row.hidden).length
    box.lastChild.textContent = left ? `${left} of ${rows.length}` : 'Nothing has these words. Try a part of a name, such as “qwen” or “c_attn”.'
  }
  field.oninput = show
  box.hidden = false
  show()
}

const form = document.getElementById('wild-open')
if (form) {
  const status = form.querySelector('[role=status]'), answer = form.querySelector('.wild-answer'), found = form.querySelector('.wild-found')
  const choice = form.elements.module, colours = { q: '--qkv-q', k: '--qkv-k', v: '--qkv-v' }
  let worker, given, waiting = 0, turn = 0
  // Python answers, in a worker. What is asked anew while it is busy begins anew.
  const ask = request => new Promise(done => {
    if (waiting && request.files) { worker.terminate(); worker = null; waiting = 0 }
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = ({ data }) => {
      if (data.said != null) { status.textContent = data.said; return }
      waiting--
      done(data)
    }
    try {
      worker ??= Object.assign(new Worker(new URL('open-worker.mjs', import.meta.url), { type: 'module' }), { onerror: () => end('Python could not be loaded, or has stopped: are you offline, or was this site made without it? Choose again to retry.') })
      worker.postMessage(request, [port2])
      waiting++
    } catch { end('A page opened as a file cannot run Python: it needs a server.') }
  })
  const end = why => {
    worker?.terminate()
    worker = null
    waiting = 0
    status.textContent = `${why} The command reads the same files: qkvdocs wild FILE`
    form.ariaBusy = false
  }
  // A single file is meant itself, whatever its name; of several, their folder.
  const open = async files => {
    const mine = ++turn, names = files.map(([name]) => name), tops = new Set(names.map(name => name.split('/')[0]))
    const single = names.filter(name => !name.endsWith('.json'))
    given = files
    form.ariaBusy = true
    status.textContent = worker ? 'Reading …' : 'Loading Python …'
    const path = names.some(name => name.includes('/')) ? tops.size === 1 ? [...tops][0] : '' : single.length === 1 ? single[0] : ''
    const reply = await ask({ files, path, options: form.elements.options.value })
    if (mine === turn) await show('The answer:', reply, number => ask({ number }))
    if (mine === turn) form.ariaBusy = false
  }
  const show = async (said, { text, modules }, pictures) => {
    const mine = turn
    answer.textContent = text
    status.textContent = said
    choice.replaceChildren(...modules.map((textContent, value) => $('option', { value, textContent })))
    choice.closest('p').hidden = !modules.length
    found.replaceChildren()
    choice.onchange = async () => {
      const drawn = await pictures(+choice.value)
      if (mine === turn) found.replaceChildren(...drawn.map(draw))
    }
    if (modules.length) await choice.onchange()
  }
  const draw = ({ line, roles, why, cells, owners, columns }) => {
    const caption = $('figcaption', {}, ...[...roles].flatMap(r => [$('b', { className: r, textContent: r.toUpperCase() }), ' ']), line)
    if (why) return $('figure', {}, $('p', { textContent: why }), caption)
    const height = cells.length, width = cells[0].length, cell = Math.max(1, Math.min(6, Math.floor(576 / Math.max(width, height))))
    const canvas = $('canvas', { role: 'img', ariaLabel: `${line}: ${[...roles].join(' ').toUpperCase()}`, width: width * cell, height: height * cell })
    const pen = canvas.getContext('2d'), style = getComputedStyle(document.body)
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      pen.fillStyle = style.getPropertyValue(colours[owners[columns ? x : y]] ?? '--md-default-fg-color') || 'gray'
      pen.globalAlpha = .15 + .85 * cells[y][x] / 255
      pen.fillRect(x * cell, y * cell, cell, cell)
    }
    return $('figure', {}, canvas, caption)
  }
  // A folder's files, and those of the folders in it.
  const within = async (entry, depth = 2) => {
    if (entry.isFile) return [[entry.fullPath.slice(1), await new Promise((done, failed) => entry.file(done, failed))]]
    if (!depth) return []
    const reader = entry.createReader(), files = []
    for (let some = [0]; some.length;) {
      some = await new Promise((done, failed) => reader.readEntries(done, failed))
      for (const one of some) files.push(...await within(one, depth - 1))
    }
    return files
  }
  const plain = list => [...list].map(file => [file.webkitRelativePath || file.name, file]).filter(([name]) => name.split('/').length <= 3)
  form.onchange = ({ target }) => {
    if (target.type === 'file' && target.files.length) open(plain(target.files))
    if (target.name === 'options' && given) open(given)
  }
  form.onsubmit = event => event.preventDefault()
  form.ondragover = event => { event.preventDefault(); form.classList.add('over') }
  form.ondragleave = () => form.classList.remove('over')
  form.ondrop = async event => {
    event.preventDefault()
    form.classList.remove('over')
    const { items, files } = event.dataTransfer, entries = [...items].map(item => item.webkitGetAsEntry?.())
    const list = plain(files)
    open(entries.every(Boolean) ? (await Promise.all(entries.map(entry => within(entry)))).flat() : list)
  }
  // Answers that were given when this page was made, so that there is something to see.
  const samples = JSON.parse(document.getElementById('wild-samples').textContent)
  for (const [name, { reply, pictures }] of Object.entries(samples)) form.elements[name].onclick = () => {
    turn++
    given = null
    form.ariaBusy = false
    return show(`The answer for ${form.elements[name].textContent}, recorded when this page was made:`, reply, number => pictures[number])
  }
  await form.elements[Object.keys(samples)[0]].onclick()
  form.hidden = false
}
