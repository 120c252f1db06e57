#!/bin/sh
# usage: format.sh CLANG_FORMAT ROOT
# Every C file is as .clang-format would have it; and the check is shown something that is not.
set -eu
format=$1
cd "$2"
if printf 'int  x ;\n' | "$format" --dry-run -Werror --assume-filename=x.c 2>/dev/null; then
    echo "the check cannot fail"
    exit 1
fi
find . \( -name 'build*' -o -name '.?*' \) -prune -o -name '*.[ch]' -type f -print0 |
    xargs -0 "$format" --dry-run -Werror
