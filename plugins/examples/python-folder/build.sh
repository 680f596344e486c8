#!/bin/sh
# Builds the component: ./build.sh [OUTPUT.wasm]. $PYTHON is an interpreter that has requirements.txt, $WIT the folder of the contract.
set -eu
output=$(realpath -m "${1:-python-folder.wasm}")
cd "$(dirname "$0")"
# What the command `componentize-py` does; called so, it is that of the interpreter, wherever its environment was moved to.
exec "${PYTHON:-python3}" -c 'import componentize_py, sys; sys.exit(componentize_py.script())' \
    --quiet --wit-path "${WIT:-../../../wit/v1.0}" --wit-path world.wit --world python:folder/component \
    componentize app --output "$output"
