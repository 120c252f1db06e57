# Sourced by test scripts: sets `data` to the data folder ($QCC_DATA, or shared/data beside the tree). Without it a script
# ends with 77 (skipped), or fails under CI=true.
data=${QCC_DATA:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/shared/data}
if [ ! -d "$data" ]; then
    echo "no data folder at $data: set QCC_DATA"
    [ "${CI:-}" = true ] && exit 1
    exit 77
fi
