"""Writes to testdata/golden what transformers makes of chat templates: chat-constructs.json of small ones, a construct each,
chat-conversations.json of the templates in datasets/chat/testdata, and chat-tokens.json in token ids. What is Qwen3's own, template
and tokenizer, is read in ../shared/data."""
import gzip
import hashlib
import json
import pathlib
import tempfile

import jinja2
from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

import chat_constructs
import chat_conversations as table

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "testdata" / "golden"
TEMPLATES = ROOT / "datasets" / "chat" / "testdata"
QWEN3 = ROOT.parent / "shared" / "data" / "tok"


def outcome(template, variables):
    try:
        return {"text": _compile_jinja_template(template).render(**variables)}
    except jinja2.exceptions.TemplateError as e:
        return {"error": type(e).__name__, "message": str(e)}
    except Exception as e:
        return {"error": type(e).__name__}


def constructs():
    rows = []
    for template in dict.fromkeys(chat_constructs.cases()):
        row = {"template": template, **outcome(template, chat_constructs.VARS)}
        if " at 0x" in row.get("text", ""):
            row = {"template": template, "error": "prints where something lies"}
        rows.append(row)
    return {"vars": chat_constructs.VARS, "cases": rows}


def templates():
    for path in sorted(TEMPLATES.glob("*.jinja")):
        yield path.stem, path.read_text()
    yield "qwen3", json.loads((QWEN3 / "qwen3.tokenizer_config.json").read_text())["chat_template"]


def rendered(template, said, settings):
    messages = [{k: v for k, v in message.items() if v is not None} for message in said]
    try:
        [text], [spans] = render_jinja_template([messages], chat_template=template, return_assistant_tokens_mask=True, **settings)
        row = {"text": text}
        if spans:
            row["generated"] = spans
        return row
    except jinja2.exceptions.TemplateError as e:
        return {"error": type(e).__name__, "message": str(e)}
    except Exception as e:
        return {"error": type(e).__name__}


def conversations():
    rows = []
    for name, template in templates():
        for told in [{}] + table.MORE.get(name, []):
            for said in table.SAID:
                for tools, prompt in [(False, False), (False, True), (True, False)]:
                    if told and (tools != ("tools_in_user_message" in told) or said not in ("called", "system")):
                        continue
                    settings = {**table.TOKENS.get(name, {}), **told, "tools": table.TOOLS if tools else None, "add_generation_prompt": prompt}
                    row = {"template": name, "said": said, "told": told, "tools": tools, "prompt": prompt}
                    row.update(rendered(template, table.SAID[said], settings))
                    if name == "qwen3" and "text" in row:
                        row["sha256"] = hashlib.sha256(row.pop("text").encode()).hexdigest()
                    rows.append(row)
    return {"said": table.SAID, "tools": table.TOOLS, "tokens": table.TOKENS, "cases": rows}


def tokenizers(folder):
    folder = pathlib.Path(folder)
    (folder / "tokenizer.json").write_bytes(gzip.decompress((QWEN3 / "qwen3.tokenizer.json.gz").read_bytes()))
    (folder / "tokenizer_config.json").write_bytes((QWEN3 / "qwen3.tokenizer_config.json").read_bytes())
    yield "qwen3", AutoTokenizer.from_pretrained(folder), ["qwen3", "chatml-generation"]
    yield "tiny-llama", AutoTokenizer.from_pretrained(ROOT / "testdata" / "models" / "tiny-llama"), ["mistral", "zephyr", "chatml-generation"]


def tokens():
    rows, known = [], dict(templates())
    with tempfile.TemporaryDirectory() as folder:
        for name, tokenizer, names in tokenizers(folder):
            for template in names:
                for said, tools in [("two", 0), ("three", 0), ("system", 0), ("called", 1), ("spelt", 0), ("thought", 0)]:
                    try:
                        settings = {"chat_template": known[template], "tools": table.TOOLS if tools else None, "tokenize": True}
                        ids = tokenizer.apply_chat_template(table.SAID[said], sanitize_control_tokens=said == "spelt", **settings)["input_ids"]
                    except jinja2.exceptions.TemplateError:
                        continue
                    row = {"tokenizer": name, "template": template, "said": said, "tools": bool(tools), "ids": list(ids)}
                    if template == "chatml-generation":
                        marked = tokenizer.apply_chat_template(table.SAID[said], return_assistant_tokens_mask=True, **settings)
                        if said != "spelt":
                            row["assistant"] = list(marked["assistant_masks"])
                    rows.append(row)
    return {"cases": rows}


def write(name, value):
    def lines(v):
        return "[\n" + ",\n".join(json.dumps(row) for row in v) + "\n]" if isinstance(v, list) else json.dumps(v)

    (OUT / name).write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {lines(v)}" for k, v in value.items()) + "\n}\n")


def main():
    write("chat-constructs.json", constructs())
    write("chat-conversations.json", conversations())
    write("chat-tokens.json", tokens())


if __name__ == "__main__":
    main()
