#!/bin/sh
# Makes the models, preferences and reference numbers of testdata anew, in a Python environment of its own.
set -eu
cd "${0%/*}"
environment=${1:-../../build/golden-venv}
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --requirement requirements.txt
for script in make_models make_pref make_interop make_method make_gradients make_trl; do
    echo "$script" >&2
    "$environment/bin/python" $script.py
done
