#!/bin/sh
# Makes the models, preferences and reference numbers of testdata anew, in a Python environment of its own. Its packages are
# those of requirements.txt, with what they need; requirements.lock has the digests of all.
set -eu
cd "${0%/*}"
environment=${1:-../../build/golden-venv}
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --require-hashes --requirement requirements.lock
for script in "make_models.py ../../testdata" make_pref.py make_interop.py make_method.py make_optim.py make_lossscale.py make_steplosses.py make_steptrl.py make_losses.py make_lossfiles.py "make_gradients.py ../../testdata" "make_adapters.py ../../testdata" make_rankings.py make_generate.py make_trl.py make_trl_losses.py make_objectives.py make_architectures.py make_exported.py make_events.py make_vader.py make_chat.py make_layouts.py; do
    echo "$script" >&2
    "$environment/bin/python" $script
done
"$(../interop-onnx)" make_optimum.py
