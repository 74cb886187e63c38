// Reads checkpoints in the browser. The rows, names and limits come from the Python atlas as data.
const fail = why => { throw new Error(why) }
const natural = n => Number.isSafeInteger(n) && n >= 0
const put = (map, key, value) => map.get(key)?.push(value) ?? map.set(key, [value])
const object = x => x && typeof x === 'object' && !Array.isArray(x)
const WORD = /"(?:[^"\\]|\\.)*"/g, LONE = /[\ud800-\udfff]/u

// What could act on a reader or hide in a line is spelt out, as the command spells it.
export const printable = text => String(text).replace(/[\p{C}\p{Z}]/gu, c => c === ' ' ? c : { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c] ??
  (n => n < 256 ? `\\x${n.toString(16).padStart(2, 0)}` : n < 65536 ? `\\u${n.toString(16).padStart(4, 0)}` : `\\U${n.toString(16).padStart(8, 0)}`)(c.codePointAt(0)))

// The page stays alive: long work stops every so often.
let since = 0, turns = 0
const late = () => !(++turns % 256) && performance.now() - since > 20
const pause = async () => { await new Promise(done => setTimeout(done)); since = performance.now() }

const decode = (bytes, what) => {
  try { return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) } catch { fail(`${what} must be UTF-8`) }
}

export async function readConfig(file, atlas) {
  if (file.size > atlas.largest_json) fail(`${file.name} must be at most ${atlas.largest_json} bytes long, got ${file.size}`)
  const text = decode(await file.arrayBuffer(), file.name)
  let found
  try {
    JSON.parse(text)
    // JavaScript has one kind of number: 4.0 is made a word, so that it is no count.
    found = JSON.parse(text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g, w => w[0] === '"' || /^-?\d+$/.test(w) ? w : `"${w}"`))
  } catch { fail(`${file.name} must be JSON`) }
  return object(found) ? found : fail(`${file.name} must hold a JSON object`)
}

export async function readHeader(file, atlas) {
  for (const [suffix, what] of Object.entries(atlas.suffixes)) if (file.name.toLowerCase().endsWith(suffix)) fail(`${file.name} must be a .safetensors file, got ${what}`)
  const head = new Uint8Array(await file.slice(0, 64).arrayBuffer()), start = String.fromCharCode(...head)
  const length = head.length < 8 ? Infinity : Number(new DataView(head.buffer).getBigUint64(0, true))
  if (!(8 + length <= file.size && start[8] === '{')) for (const [begin, what] of Object.entries(atlas.starts))
    if (start.startsWith(begin)) fail(`${file.name} must be a .safetensors file, got ${what}`)
  if (length > file.size - 8) fail(`the header must fit the file of ${file.size} bytes: cut short, or no .safetensors file`)
  if (length > atlas.largest_header) fail(`the header must have at most ${atlas.largest_header} bytes, got ${length}`)
  const entries = await scan(decode(await file.slice(8, 8 + length).arrayBuffer(), 'the header'))
  const tensors = new Map(), base = 8 + length
  for (const [name, entry] of entries) {
    const { dtype, shape, at } = describe(name, entry)
    if (!Object.hasOwn(atlas.bits, dtype)) fail(`${name} must have a known dtype, got ${dtype}`)
    const bits = shape.reduce((a, b) => a * BigInt(b), BigInt(atlas.bits[dtype]))
    if (bits !== 8n * (BigInt(at[1]) - BigInt(at[0]))) fail(`${name} must take ${bits / 8n} bytes, got ${at[1]} - ${at[0]}`)
    tensors.set(name, { name, dtype, shape, begin: base + at[0], end: base + at[1] })
    if (late()) await pause()
  }
  let end = base
  for (const t of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (t.begin !== end) fail(`${t.name} must begin where the tensor before it ends = ${end - base}, got ${t.begin - base}`)
    end = t.end
  }
  if (end !== file.size) fail(`the file must end with its last tensor = ${end} bytes, got ${file.size}`)
  return tensors
}

// JSON of one form, character by character: JSON.parse keeps the last of two names and does not say so.
async function scan(text) {
  let at = 0
  const wrong = () => fail(`the header must be JSON {name: {"dtype": …, "shape": […], "data_offsets": [begin, end]}, …}, got ${text.slice(at, at + 60)}`)
  const skip = () => { while (' \t\r\n'.includes(text[at] ?? '?')) at++ }
  const take = c => { skip(); if (text[at] !== c) wrong(); at++ }
  const word = () => {
    skip()
    const from = at
    if (text[at] !== '"') wrong()
    for (at++; text[at] !== '"'; at++) {
      if (!(text.charCodeAt(at) >= 32)) wrong()
      if (text[at] !== '\\') continue
      if (text[++at] === 'u' && /^[0-9a-fA-F]{4}$/.test(text.slice(at + 1, at + 5))) at += 4
      else if (!(text[at] && '"\\/bfnrt'.includes(text[at]))) wrong()
    }
    const said = JSON.parse(text.slice(from, ++at))
    return LONE.test(said) ? fail('the header must be UTF-8') : said
  }
  const pairs = async each => {
    take('{')
    skip()
    for (let n = 0; n || text[at] !== '}'; n++) {
      const name = word()
      take(':')
      skip()
      each(name)
      if (late()) await pause()
      skip()
      if (text[at] === '}') break
      take(',')
    }
    at++
  }
  const found = new Map()
  let metadata = null
  if (text[0] !== '{') wrong()
  await pairs(name => {
    if (name === '__metadata__') { if (metadata) fail(`the header must name each tensor once, got ${name} twice`); metadata = at }
    else if (found.has(name)) fail(`the header must name each tensor once, got ${name} twice`)
    if (text[at] !== '{') wrong()
    if (name === '__metadata__') return strings()
    const end = text.indexOf('}', at)
    const entry = text.slice(at, end + 1)
    if (end < 0 || entry.length > 4098 || entry.lastIndexOf('{') > 0) wrong()
    found.set(name, entry)
    at = end + 1
  })
  if (!/^ *$/.test(text.slice(at))) wrong()
  return found
  function strings() {
    take('{')
    skip()
    for (let n = 0; n || text[at] !== '}'; n++) {
      word(); take(':'); word(); skip()
      if (text[at] === '}') break
      take(',')
    }
    at++
  }
}

function describe(name, entry) {
  let found
  try { found = JSON.parse(entry) } catch { found = {} }
  const { dtype, shape, data_offsets: at } = found
  const keys = [...entry.matchAll(/"(?:[^"\\]|\\.)*"(?=\s*:)/g)].map(key => key[0])
  if (keys.length !== 3 || Object.keys(found).length !== 3 || /[^\s\d{}[\]:,]/.test(entry.replace(WORD, '')) || typeof dtype !== 'string' ||
    !Array.isArray(shape) || shape.length > 32 || !shape.every(natural) || !Array.isArray(at) || at.length !== 2 || !at.every(natural))
    fail(`${name} must be described as {"dtype": …, "shape": […], "data_offsets": [begin, end]} with sizes from 0`)
  return { dtype, shape, at }
}

const counts = (part, { n_heads }) => object(part) && [...n_heads, 'decoder_attention_heads'].some(n => n in part)
const levels = new WeakMap()
function partsOf(level, names) {
  if (!levels.has(level)) levels.set(level, Object.entries(level)
    .filter(([, v]) => object(v) && (counts(v, names) || Object.values(v).some(w => counts(w, names))))
    .map(([key, v]) => [key.replace(/_config$/, ''), v])
    .map(([key, v]) => [key, [key, ...names.also_called[key] ?? []].filter(Boolean).map(w => '.' + w.replaceAll('_', '.')), v]))
  const found = levels.get(level)
  return found.length > names.widest ? fail(`config.json must have at most ${names.widest} parts side by side, got ${found.length}`) : found
}

function facts(config, path, names) {
  const chain = [config], part = [], place = `.${path}`.replaceAll('_', '.')
  for (;;) {
    const parts = partsOf(chain[0], names)
    const step = parts.find(([, words]) => words.some(w => place.includes(w))) ?? names.default.map(d => parts.find(([key]) => key === d)).find(Boolean)
    if (!step) break
    chain.unshift(step[2])
    part.push(step[0])
    if (chain.length > names.deepest) fail(`config.json must nest at most ${names.deepest} parts, got more`)
  }
  const value = name => { for (const [n, level] of chain.entries()) if (Object.hasOwn(level, name) && !(n && object(level[name]))) return level[name] }
  const models = chain.map(level => level.model_type).filter(m => typeof m === 'string').reverse()
  let staged = false
  const count = (list, get = value) => {
    const name = list.find(n => get(n) != null)
    if (!name) return null
    let found = get(name)
    staged = Array.isArray(found)
    if (staged) found = found[path.match(/\d+/)?.[0]]
    if (!Number.isInteger(found) || found < 1) fail(`${name} in config.json must be an integer of at least 1, got ${JSON.stringify(found)?.slice(0, 60)}`)
    return found
  }
  const side = path.toLowerCase().includes('decoder') ? 'decoder' : 'encoder'
  const q = count([`${side}_attention_heads`, `num_${side}_attention_heads`, ...names.n_heads]), first = staged
  let kv
  if (models.some(m => names.multi_query.includes(m)) && value('new_decoder_architecture') !== true) {
    if (typeof value('multi_query') !== 'boolean') fail('multi_query in config.json must be true or false')
    kv = value('multi_query') ? 1 : q
  } else kv = count(['kv_n_heads'], n => value('attn_config')?.[n]) ?? count(names.n_kv_heads) ?? q
  const own = chain.find(level => counts(level, names)) ?? {}
  const layers = [`${side}_layers`, `num_${side}_layers`, `${side}_num_hidden_layers`, ...names.layers].map(n => own[n]).find(Number.isInteger) ?? null
  return { q, kv, d_model: first ? null : count(names.d_model), d_head: count(names.d_head), models, layers, part: part.join('.'), value }
}

function kindOf(path, f, { cross, towers, encoders, stepwise }) {
  const low = path.toLowerCase(), own = f.models.at(-1) ?? ''
  if (cross.some(w => low.includes(w))) return 'cross'
  if (f.value('is_decoder') === true || stepwise.some(m => f.models.includes(m))) return 'self'
  if (towers.some(w => `${low} ${f.part}`.includes(w)) || ['vision', 'encoder'].some(w => own.includes(w)) || encoders.some(m => f.models.includes(m))) return 'encoder'
  return f.value('is_encoder_decoder') === true && !low.includes('decoder') ? 'encoder' : 'self'
}

// The modules that a tensor may belong to, from the inside out.
const last = path => path.slice(path.lastIndexOf('.') + 1)
function cuts(name) {
  const list = []
  for (let at = name.length; list.length < 4 && at > 0;) {
    at = name.lastIndexOf('.', at - 1)
    if (at === 0) break
    list.push(name.slice(0, Math.max(at, 0)))
  }
  return list
}

export async function findModules(tensors, config, atlas, given) {
  const found = new Map(), refused = new Map(), used = new Set(), held = new Map(), under = new Map(), known = new Map()
  const weight = n => n.replace('{}', 'weight'), join = (p, n) => p ? `${p}.${n}` : n
  for (const name of tensors.keys()) {
    for (const path of cuts(name)) {
      put(under, path, name)
      if (!Object.hasOwn(atlas.mixers, last(path))) put(held, name.slice(path && path.length + 1), path)
    }
    if (late()) await pause()
  }
  const factsOf = path => {
    if (!known.has(path)) try { known.set(path, facts(config, path, atlas.names)) } catch (error) { known.set(path, error) }
    const f = known.get(path)
    if (f instanceof Error) throw f
    return f
  }
  const types = path => { try { return factsOf(path).models } catch { return typeof config.model_type === 'string' ? [config.model_type] : [] } }
  const rows = atlas.layouts.map(row => ({ row, ins: Object.keys(row.tensors).map(weight), outs: row.out.map(weight) }))
  const names = (path, { ins, outs }) => [...ins, ...outs].map(end => join(path, end)).filter(name => tensors.has(name))
  const holds = ({ row }, path) => !row.models.length || types(path).some(m => row.models.includes(m))
  const claim = (path, r) => { for (const name of names(path, r)) used.add(name) }
  for (const strict of [true, false]) for (const r of rows) for (const path of held.get(r.ins[0]) ?? []) {
    if (late()) await pause()
    const has = end => tensors.has(join(path, end)), key = join(path, r.ins[0])
    if (used.has(key) || found.has(path) || !r.ins.every(has) || !r.outs.some(has) || strict && !holds(r, path)) continue
    if (strict) found.set(path, r.row)
    else if (!refused.has(path)) refused.set(path, `the order inside ${key} must be known from the model_type, got ${types(path).join(' / ') || 'no config.json that names one'}`)
    claim(path, r)
  }
  for (const [end, why] of Object.entries(atlas.breaks)) for (const path of held.get(end) ?? []) if (!found.has(path) && !used.has(join(path, end))) {
    if (!refused.has(path)) refused.set(path, `${join(path, end)} must be one projection, got ${why}`)
    for (const name of under.get(path)) used.add(name)
    if (late()) await pause()
  }
  const kind = path => path.replace(/\d+/g, '#'), kinds = new Map([...found].map(([path, row]) => [kind(path), row])), best = new Map()
  for (const r of rows) for (const end of r.ins) for (const path of held.get(end) ?? []) {
    if (late()) await pause()
    if (found.has(path) || refused.has(path) || used.has(join(path, end))) continue
    const alike = kinds.get(kind(path)) === r.row
    if (r.ins.filter(e => tensors.has(join(path, e))).length < 2 && !alike || !holds(r, path)) continue
    const score = names(path, r).length + 100 * alike
    if (score > (best.get(path)?.score ?? 0)) best.set(path, { score, r })
  }
  for (const [path, { r }] of best) {
    const there = names(path, r)
    if (there.some(name => used.has(name))) continue
    claim(path, r)
    const missing = [...r.ins, ...r.outs.some(e => there.includes(join(path, e))) ? [] : [r.outs[0]]].filter(e => !there.includes(join(path, e)))
    refused.set(path, `${path || 'the file'} must have ${missing.join(', ')} too, as ${r.row.family} has`)
  }
  const there = path => found.has(path) || refused.has(path), above = new Set([...found.keys(), ...refused.keys()].flatMap(cuts)), unknown = new Set()
  const named = new RegExp(atlas.named, 'i')
  for (const [name, { shape }] of tensors) {
    if (late()) await pause()
    const path = [2, 3].includes(shape.length) ? cuts(name).find(p => named.test(last(p)) && !Object.hasOwn(atlas.mixers, last(p))) : ''
    if (path && !above.has(path) && ![path, ...cuts(path)].some(there)) unknown.add(path)
  }
  for (const path of unknown) refused.set(path, `${path} must have projections under names that the atlas knows`)
  const plans = []
  for (const [path, row] of found) {
    try { plans.push(plan(tensors, path, row, factsOf, atlas, given)) } catch (e) { refused.set(path, e.message) }
    if (late()) await pause()
  }
  const order = new Map(plans.map(p => [p, p.path.replace(/\d+/g, n => n.padStart(9, 0))]))
  plans.sort((a, b) => order.get(a) < order.get(b) ? -1 : 1)
  return { plans, refused, layers: await countLayers(tensors, [...plans.map(p => p.path), ...refused.keys()], factsOf, atlas) }
}

// Layers without attention: of another kind, or missing though the others are there.
async function countLayers(tensors, paths, factsOf, atlas) {
  const place = name => {
    const parts = name.split('.', 13), at = parts.slice(0, -1).findIndex(p => /^\d{1,6}$/.test(p))
    return at < 0 ? null : [parts.slice(0, at).join('.'), +parts[at], parts.slice(at + 1)]
  }
  const stacks = new Map(), told = [], UNKNOWN = 'no attention that is known', f = path => { try { return factsOf(path) } catch { return null } }
  for (const path of paths) {
    const found = place(path + '.')
    if (late()) await pause()
    if (!found) continue
    if (!stacks.has(found[0])) stacks.set(found[0], { path, seen: new Set(), held: new Map(), nested: !found[0].endsWith('block') && found[2].some(p => /^\d+$/.test(p)) })
    stacks.get(found[0]).seen.add(found[1])
  }
  for (const name of tensors.keys()) {
    const found = place(name), stack = found && stacks.get(found[0])
    if (stack && !stack.held.has(found[1])) stack.held.set(found[1], null)
    const mixer = stack && found[2].slice(0, 4).find(p => Object.hasOwn(atlas.mixers, p))
    if (mixer) stack.held.set(found[1], atlas.mixers[mixer])
    if (late()) await pause()
  }
  const longest = new Map()
  for (const [stem, s] of stacks) {
    const known = f(s.path), key = `${known?.part} ${s.path.toLowerCase().includes('decoder')}`
    if (!s.nested && known?.layers != null && !(longest.get(key)?.size >= s.held.size)) longest.set(key, { size: s.held.size, stem, layers: known.layers })
  }
  for (const [stem, s] of stacks) {
    const groups = new Map()
    for (const [number, mixer] of s.held) if (!s.seen.has(number) && (mixer || !s.nested)) {
      const declared = ['layer_types', 'layers_block_type', 'block_types'].map(n => f(s.path)?.value(n)?.[number]).find(k => typeof k === 'string' && (!k.includes('attention') || k.includes('linear')))
      const what = mixer ?? (declared ? `${declared.slice(0, 40)}, as config.json says` : UNKNOWN)
      put(groups, what, number)
      if (late()) await pause()
    }
    for (const [what, numbers] of groups) told.push({ stem, numbers, what, accounted: what !== UNKNOWN })
    const counted = [...longest.values()].find(l => l.stem === stem)?.layers
    let most = -1, there = 0
    for (const number of s.held.keys()) { most = Math.max(most, number); there += counted == null || number < counted }
    const missing = (counted ?? most + 1) - there
    if (missing > 0) told.push({ stem, numbers: [], what: `${missing} layers are not in the file, though ${counted == null ? 'the others are numbered so' : `config.json gives ${counted}`}` })
  }
  return told
}

function plan(tensors, path, row, factsOf, atlas, given) {
  const at = n => tensors.get(path ? `${path}.${n}` : n)
  let f
  try { f = factsOf(path) } catch (error) { if (!given?.q) throw error; f = { models: [], part: '', value: () => undefined } }
  if (given?.q) f = { ...f, q: given.q, kv: given.kv || given.q, d_model: null, d_head: null }
  if (!f.q) fail('head counts must be known: add config.json, or give them')
  const count = { q: f.q, g: f.q, k: f.kv, v: f.kv }, widths = {}, pieces = [], rows = {}
  const blocks = { n_heads: f.q, n_kv_heads: f.kv }[row.blocks] ?? row.blocks
  const out = row.out.find(n => at(n.replace('{}', 'weight')))
  let biases = ''
  for (const [template, roles] of [...Object.entries(row.tensors), [out, 'o']]) {
    const t = at(template.replace('{}', 'weight')), columns = row.columns.includes(template)
    if (!atlas.floats.includes(t.dtype)) fail(`${t.name} must be stored as ${atlas.floats.join(', ')}, got ${t.dtype}: quantised`)
    const module = t.name.slice(0, t.name.lastIndexOf('.')), scale = atlas.scales.find(s => tensors.has(`${module}.${s}`))
    if (scale) fail(`${t.name} must be a plain weight, got ${scale} beside it: quantised`)
    if (t.shape.length !== row.axes || t.shape.includes(0)) fail(`${t.name} must have ${row.axes} axes of at least 1, got ${t.shape}`)
    const flat = [t.shape[0], t.shape.slice(1).reduce((a, b) => a * b, 1)], [inputs, total] = columns ? flat : flat.reverse()
    const heads = [...roles].reduce((n, r) => n + (count[r] ?? 0), 0)
    if (roles.length > 1 && total % heads) fail(`the outputs of ${t.name} must be a multiple of ${heads}, got ${total}`)
    for (const r of roles) {
      widths[r] = roles.length > 1 ? total / heads * count[r] : total
      rows[r] = inputs
      if (roles.length > 1 && widths[r] % blocks) fail(`the width of ${r} must be a multiple of ${blocks} blocks, got ${widths[r]}`)
    }
    const bias = template.includes('{}') && at(template.replace('{}', 'bias'))
    if (bias) biases += roles
    if (bias && bias.shape.join() !== String(total)) fail(`${bias.name} must have ${total} entries, got ${bias.shape}`)
    pieces.push({ ...t, roles, columns, inputs, total, blocks: roles.length > 1 ? blocks : 1 })
  }
  for (const [r, n] of Object.entries(row.biases)) if (at(n)) biases += r
  const { q, k, v, o } = widths
  if (f.q % f.kv || q % f.q) fail(`${f.q} query heads must fit the width ${q} and be a multiple of ${f.kv} key heads`)
  if (q * f.kv !== k * f.q) fail(`W_Q must have the width n_heads * width of K / n_kv_heads = ${k * f.q / f.kv}, got ${q}`)
  if (v * f.q !== rows.o * f.kv) fail(`W_O must take rows of the width ${v * f.q / f.kv}, got ${rows.o}`)
  if (rows.k !== rows.q || rows.v !== rows.q || k !== v || o !== rows.q) fail('W_Q, W_K, W_V and W_O must share d_model')
  if (f.d_model && f.d_model !== rows.q) fail(`rows must have the width that config.json gives = ${f.d_model}, got ${rows.q}`)
  if (f.d_head && f.d_head !== q / f.q) fail(`heads must have the width that config.json gives = ${f.d_head}, got ${q / f.q}`)
  const kind = kindOf(path, f, atlas.kinds), ranks = f.d_model / q
  if (!f.d_head && f.d_model % f.q === 0 && kind !== 'cross' && ranks > 1 && Number.isInteger(ranks) && f.q % ranks === 0)
    fail(`W_Q must have the width that config.json gives = ${f.d_model}, got ${q}. Is it one of ${ranks} ranks of a model that was cut? Join the ranks first`)
  const bytes = (k + v) * atlas.bits[pieces[0].dtype] / 8
  return { path, row, kind, pieces, widths, rows, biases: [...'qkvog'].filter(r => biases.includes(r)).join(''), n_heads: f.q, n_kv_heads: f.kv, d_head: q / f.q, d_model: rows.q,
    cache: kind === 'self' ? bytes : 0, source: kind === 'cross' ? bytes : 0 }
}

// Which role owns output number n of a piece: the place inside its block decides.
export function owner(piece, widths, n) {
  let at = n % (piece.total / piece.blocks)
  for (const r of piece.roles) if ((at -= piece.roles.length > 1 ? widths[r] / piece.blocks : piece.total) < 0) return r
}

// Any stored floats as float32, bit for bit where the format allows it.
export function floats(buffer, dtype) {
  if (dtype === 'F32') return new Float32Array(buffer)
  if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer))
  const half = new Uint16Array(buffer)
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(half, h => h << 16).buffer)
  return Float32Array.from(half, h => {
    const e = h >> 10 & 31, m = h & 1023, s = h & 0x8000 ? -1 : 1
    return s * (e === 31 ? m ? NaN : Infinity : e ? (1 + m / 1024) * 2 ** (e - 15) : m * 2 ** -24)
  })
}

// Every so manyth row of a stored matrix: nothing else is read.
export async function sample(file, piece, bits, most = 96) {
  const height = piece.shape[0], width = (piece.end - piece.begin) * 8 / bits / height
  const step = Math.ceil(height / most), rows = []
  for (let r = 0; r < height; r += step) {
    const from = piece.begin + r * width * bits / 8
    rows.push([r, floats(await file.slice(from, from + width * bits / 8).arrayBuffer(), piece.dtype)])
  }
  return { rows, width }
}
