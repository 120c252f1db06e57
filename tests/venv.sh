#!/bin/sh
# usage: venv.sh FOLDER [REQUIREMENTS]
# Makes a Python environment in FOLDER with the packages that REQUIREMENTS (tests/requirements.txt) names, unless it is
# there and has them already, and prints its interpreter's path. Safe to be run by several at once.
set -eu
folder=$1
wanted=${2:-$(dirname "$0")/requirements.txt}
python=$folder/bin/python
mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9
if ! cmp -s "$wanted" "$folder/installed.txt"; then
    echo "making a Python environment in $folder" >&2
    "${PYTHON:-python3}" -m venv --clear "$folder" >&2
    "$python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2
    cp "$wanted" "$folder/installed.txt"
fi
echo "$python"
