#!/bin/sh
# Runs the suite with the arguments given, in a virtual environment next to this file.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv="$here/venv"
# The copy of requirements.txt is the last step of an installation: without it the environment is
# half-made or out of date, and is made anew.
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/requirements.txt"
fi
exec "$venv/bin/python" "$here/suite.py" "$@"
