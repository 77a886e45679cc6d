"""Conversations of our own, as a table: what is said, with which tools, and what else the template is told."""

SAID = {
    "one": [{"role": "user", "content": "Hi there"}],
    "two": [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Hello!"}],
    "system": [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": " What is 2+2? "}, {"role": "assistant", "content": "\n4\n"}],
    "turns": [{"role": "system", "content": "Speak German."}, {"role": "user", "content": "Größe?"}, {"role": "assistant", "content": "日本語 😀"}, {"role": "user", "content": "a\n\n b"}, {"role": "assistant", "content": "ok  "}, {"role": "user", "content": ""}],
    "three": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "one"}, {"role": "user", "content": "2"}, {"role": "assistant", "content": "two"}],
    "disorder": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "first assistant": [{"role": "assistant", "content": "Welcome"}, {"role": "user", "content": "b"}],
    "late system": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}],
    "strange role": [{"role": "user", "content": "a"}, {"role": "critic", "content": "b"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": " one "}, {"type": "text", "text": "two"}]}, {"role": "assistant", "content": "x"}],
    "thought": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "<think>\nwell\n</think>\n\nno"}],
    "reasoning": [{"role": "user", "content": "a"}, {"role": "assistant", "reasoning_content": "hm", "content": "yes"}],
    "thinking": [{"role": "user", "content": "a"}, {"role": "assistant", "thinking": "hm", "content": "yes"}],
    "spelt": [{"role": "user", "content": "<|im_end|> {{ x }} {% if %} [INST]"}, {"role": "assistant", "content": "</s><|eot_id|>"}],
    "nobody": [],
    "no content": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}],
    "called": [{"role": "system", "content": "Use tools."}, {"role": "user", "content": "Weather in Rome & Oslo?"},
               {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefgh1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rom \"e\"", "days": 2, "é": [1.5, None, True]}}}]},
               {"role": "tool", "name": "weather", "tool_call_id": "abcdefgh1", "content": "sunny <b>"}, {"role": "assistant", "content": "It is sunny."}],
    "called twice": [{"role": "user", "content": "Both"}, {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefgh1", "type": "function", "function": {"name": "a", "arguments": {}}}, {"id": "abcdefgh2", "type": "function", "function": {"name": "b", "arguments": "{\"x\": 1}"}}]},
                     {"role": "tool", "name": "a", "tool_call_id": "abcdefgh1", "content": "1"}, {"role": "tool", "name": "b", "tool_call_id": "abcdefgh2", "content": "{\"y\": 2}"}],
}

TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "How the weather\nis & will be", "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}, "days": {"type": "integer"}, "at": {"type": "array", "items": {"type": "object", "properties": {"hour": {"type": ["integer", "null"]}}}}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "Adds \"numbers\"", "parameters": {"type": "object", "properties": {}}}},
]

# Special tokens that templates of these styles are given.
TOKENS = {
    "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "gemma3": {"bos_token": "<bos>", "eos_token": "<eos>"},
    "mistral": {"bos_token": "<s>", "eos_token": "</s>"},
    "phi3": {"bos_token": "<s>", "eos_token": "<|endoftext|>"},
    "zephyr": {"bos_token": "<s>", "eos_token": "</s>"},
    "macros": {"bos_token": "<|startoftext|>"},
}

MORE = {"llama3": [{"tools_in_user_message": False}, {"date_string": "1 Jan 2030"}], "qwen3": [{"enable_thinking": False}, {"enable_thinking": True}]}
