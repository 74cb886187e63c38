"""Break the scripts on purpose: the tests must notice each time. `python tests/figures/mutants_js.py [number ...]`."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.guards import silent

ASSETS = "qkvdocs/figures/assets"
FAST, READER = "tests/figures/test_script.py", "tests/figures/test_reader.py"

# What breaks, the text in the script, what takes its place, and which tests see it.
MUTANTS = [
    ("W read by rows", "turn(B).map((b) => b.reduce", "B.map((b) => b.reduce", FAST),
    ("a sum starts at one", "a[k] * v, 0)", "a[k] * v, 1)", FAST),
    ("softmax over columns", "(e, i) => e / (raised[i]", "(e, i, j) => e / (turn(raised)[j]", FAST),
    ("softmax without the row's maximum", "Math.exp(s - Math.max(...S[i], -1e9))", "Math.exp(s)", FAST),
    ("weights not normalised", "e / (raised[i].reduce((a, b) => a + b) || 1)", "e", FAST),
    ("a row that sees nothing becomes NaN", "reduce((a, b) => a + b) || 1)", "reduce((a, b) => a + b))", FAST),
    ("no division by the root of the width", "s / Math.sqrt(width || 1)", "s", FAST),
    ("divided by the width, not by its root", "Math.sqrt(width || 1)", "(width || 1)", FAST),
    ("scaling cannot be switched off", "width: +dataset.scaled && +dataset.width", "width: +dataset.width", FAST),
    ("K not transposed", "? turn(env[name.slice(0, -2)])", "? env[name.slice(0, -2)]", FAST),
    ("minus zero shown", 'text === "-0" ? "0" : text', "text", FAST),
    ("rounded by Math.round", "v.toFixed(digits)", "String(Math.round(v * 10 ** digits) / 10 ** digits)", FAST),
    ("three decimals", "(v, digits = 4)", "(v, digits = 3)", FAST),
    ("zeros kept at the end", '.replace(/\\.?0+$/, "")', "", FAST),
    ("no brackets around negative factors", '.replace(/^-.*/, "($&)")', "", FAST),
    ("always equal", '? "≈" : "=";\n\tconst list', '? "=" : "=";\n\tconst list', FAST),
    ("rounding goes unsaid below a thousandth", "> 1e-9)", "> 1e-3)", FAST),
    ("row and column swapped in the words", "const b = turn(B)[j], terms", "const b = B[j] ?? B[0], terms", FAST),
    ("entries counted from one", "`${name}_${j}`", "`${name}_${j + 1}`", FAST),
    ("mask turned round", "see[i][j] ? s : -Infinity", "see[i][j] ? -Infinity : s", FAST),
    ("mask cannot be switched off", "&& +dataset.masked)", ")", FAST),
    ("hidden called visible", '? "visible" : "hidden"', '? "visible" : "visible"', FAST),
    ("a lone weight called about one", 'several && S[i][j] > -Infinity ? "≈" : "="', '"≈"', FAST),
    ("shared weights for keys alone", "name.replace(/W_[KV]/", "name.replace(/W_K/", FAST),
    ("second axis upside down", "start[k] + (k ? -1 : 1) * (unit", "start[k] + (unit", FAST),
    ("dashed arrows all from the origin", "=> v + by * row[k])", "=> by * row[k])", FAST),
    ("each axis has a scale of its own", "const unit = Math.min(...size", "const unit = Math.max(...size", FAST),
    ("a small drawing is not in the middle", "(size[k] - unit * spans[k]) / 2", "0", FAST),
    ("an arrow of no length is drawn", "if (length < 0.5)", "if (length < -1)", FAST),
    ("ticks too close", "step * unit < 30", "step * unit < 20", FAST),
    ("tick labels off by one", "fmt(i * step))", "fmt((i + 1) * step))", FAST),
    ("ticks swapped", 'class="ticks-${k}"', 'class="ticks-${1 - k}"', FAST),
    ("parts without factors", "`${factor(by)} · ${list(row)}`", "list(row)", FAST),
    ("a name on a longer arrow", "beside ? [", "false ? [", FAST),
    ("the name of a result on its parts", "parts[0] && !vectors[i + 1] ?", "false ?", FAST),
    ("results not refreshed", "put(td.firstChild, texts[i][j]);", "", FAST),
    ("points not aligned", "align(cells, texts);", "", FAST),
    ("sums in the cells not refreshed", "put(td.lastChild, said);", "", FAST),
    ("sums in the words not refreshed", "put(sums.shift(), said);", "sums.shift();", FAST),
    ("shades not refreshed", 'td.setAttribute("style"', 'td.getAttribute("style"', FAST),
    ("literals not refreshed", "put(el, el.dataset.flat", "void (el, el.dataset.flat", FAST),
    ("picture not refreshed", "svg.innerHTML = plot(", "void plot(", FAST),
    ("fields read as whole numbers", "f.valueAsNumber", "Math.trunc(f.valueAsNumber)", FAST),
    ("fields named after the column alone", "=${entry(m, i, j, cells)}", "=${entry(m, 0, j, [cells])}", READER),
    ("huge numbers let through", "(f.validity.valid ? f.valueAsNumber : NaN)", "f.valueAsNumber", READER),
    ("the picture of bad input", 'if (!points.flat().every(isFinite)) return "";', "", READER),
    ("bad input written as NaN", 'isNaN(v) ? "?" : "-∞"', '"NaN"', READER),
    ("reset resets nothing", "[field.defaultValue, field.defaultChecked]", "[field.value, field.checked]", READER),
    ("one figure is reset", "lives()) {\n\t\t\t\t\tfor (const field", "[this]) {\n\t\t\t\t\tfor (const field", READER),
    ("an edit stays in its figure", "if (same[0]) live.update();", "", READER),
    ("every name is shared", "one.key === part?.key", "one.dataset.m === part?.dataset.m", READER),
    ("nothing says what keeps its numbers", "one.toggleAttribute(", "void (", READER),
    ("the address is not read", 'fill(part, saved.get(part.key) ?? "")', 'fill(part, "")', READER),
    ("switches are not read", 'on[i] ? on[i] === "1" : one.checked', "one.checked", READER),
    ("any address is taken", "if (texts.length === fields.length)", "", READER),
    ("the address is not written", "history.replaceState(history.state", "void (history.state", READER),
    ("the address of built numbers stays", "now === then ? url.searchParams.delete(name)", "false ? 0", READER),
    ("each edit is a step in the history", "history.replaceState", "history.pushState", READER),
    ("other parameters are lost", "url.searchParams.set(", "url.search = new URLSearchParams().set(", READER),
    ("anchors lose the numbers", "link.search = location.search", "link.search = ''", READER),
    ("the status line is silent", "put(this.lastChild", "void (this.lastChild", READER),
    ("the status line speaks at once", "}, 400);", "}, 0);", READER),
    ("a step is any step", "step=any", "step=2", READER),
]  # fmt: skip

PRACTICE = [
    ("another step of the count", "0x9e3779b9", "0x9e3779bb"),
    ("another stir", "0x85ebca6b", "0x85ebca6d"),
    ("stirred in floats", "Math.imul(seed ^ (seed >>> 16), 0x85ebca6b)", "(seed ^ (seed >>> 16)) * 0x85ebca6b"),
    ("shifted with the sign", "(mixed ^ (mixed >>> 13)) >>> 0", "(mixed ^ (mixed >> 13)) >>> 0"),
    ("ties are kept", "} while (this.doubt);", "} while (false);"),
    ("the lowest number forgotten", "low + (next() % count)", "next() % count"),
    ("entry by entry on the first alone", "B[i % B.length][j % B[0].length]", "B[0][0]"),
    ("minus is plus", "(a, b) => a - b", "(a, b) => a + b"),
    ("at most is less than", "a <= b", "a < b"),
    ("operands in the wrong order", "stack.splice(-2)", "stack.splice(-2).reverse()"),
    ("places read as they come", "A.flat()[at]", "A.flat()[at] && A.flat()[0]"),
    ("a sum says the wrong sign", "${sign} ", "+ "),
    ("rounding goes unsaid", "${relation(M[i][j])}", "="),
    ("any number is near", "apart = 6e-4", "apart = 6e4"),
    ("three decimals are not enough", "apart = 6e-4", "apart = 6e-6"),
    ("ties are looked for too closely", "12e-4", "-1"),
    ("no fractions", 'split("/")', 'split("|")'),
    ("no comma", '.replace(",", ".")', ""),
    ("no typographic minus", '.replace("−", "-")', ""),
    ("an empty field is a zero", r'/\d/.test(a) ? a / b : NaN', "a / b"),
    ("ticks are not read", "+checked", "0"),
    ("any seed is taken", r"/^\d{1,9}$/.test(seed)", "seed !== null"),
    ("ten digits are taken", "{1,9}", "{1,20}"),
    ("the address is not read", "? +seed : this.plan.seed", "? this.plan.seed : this.plan.seed"),
    ("the same numbers count as new", "while (JSON.stringify(this.env) === before);", "while (false);"),
    ("the address is not written", "this.save(this.seed);", ""),
    ("own numbers keep the seed", "this.save();", ""),
    ("each draw is a step in the history", "history.replaceState", "history.pushState"),
    ("other parameters are lost", "const url = new URL(location);", 'const url = new URL(location); url.search = "";'),
    ("the form is sent", "event.preventDefault()", "0"),
    ("own matrices start empty", "value=${row[k]}", "value"),
    ("own fields have no names", "aria-label=${td.dataset.name}", ""),
    ("the focus is lost", 'all(this, "input")[0].focus();', ""),
    ("own numbers are not read", "(row[k] = td.firstChild.valueAsNumber)", "0"),
    ("judgement stays while typing", "target.ariaInvalid = null", '""'),
    ("judgement stays for new numbers", 'for (const input of all(this, ".asked input")) input.ariaInvalid = null;', ""),
    ("answers stay for new numbers", 'all(this, "form")[0].reset();', ""),
    ("doubt is not said", "this.say(this.doubt);", 'this.say("");'),
    ("doubt about right answers is not said", "All right. ${this.doubt}", "All right. "),
    ("matrices are not rewritten", "(td.textContent = row[k])", "0"),
    ("the task is not rewritten", "el.textContent = fmt(env[el.dataset.py][0][0])", "0"),
    ("sums are not rewritten", "worked.shift().textContent =", "worked.shift().title ="),
    ("empty is wrong", "isNaN(v) ? null : !ok", "!ok"),
    ("wrong is not marked", "isNaN(v) ? null : !ok", "null"),
    ("a mistake in one result goes unnamed", "a.some((values, n)", "a.every((values, n)"),
    ("what is right there counts as a mistake", " && !near(values, right[n])", ""),
    ("parts win over the whole", "(whole[0] ? whole : some)", "some"),
    ("no hint", "|| this.plan.hint", '|| ""'),
]  # fmt: skip
ALL = [("qkv-live.js", *mutant) for mutant in MUTANTS]
ALL += [("qkv-practice.js", *mutant, "tests/figures/test_practice.py") for mutant in PRACTICE]


def main() -> int:
    """Try the mutants that are asked for, or all."""
    os.environ |= {"QKVDOCS_CASES": "40", "QKVDOCS_NO_SKIP": "1"}
    chosen = {*map(int, sys.argv[1:])} or range(len(ALL))
    entries = [
        {"rule": f"{number} {rule}", "file": f"{ASSETS}/{script}", "old": old, "new": new, "test": test}
        for number, (script, rule, old, new, test) in enumerate(ALL)
        if number in chosen
    ]
    return bool(silent(entries, "-k", "not axe"))


if __name__ == "__main__":
    sys.exit(main())
