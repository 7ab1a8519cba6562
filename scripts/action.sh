#!/usr/bin/env bash
# What the GitHub action runs, with `policyd` on the path. Policies that do not load are neither
# linted nor tested: that would say the same once more.
#
# INPUT_PATHS: a path a line. INPUT_FORMAT: `true` to check the layout too.
# INPUT_FAIL_UNDER: the least coverage in percent, or empty.
set -uo pipefail

mapfile -t paths < <(grep -v '^[[:space:]]*$' <<<"${INPUT_PATHS:-policies}")
failed=0

run() {
    local status=0
    echo "::group::policyd $1"
    policyd "$@" -- "${paths[@]}" || status=1 failed=1
    echo "::endgroup::"
    return "$status"
}

if [[ ${INPUT_FORMAT:-true} == true ]]; then
    run fmt --diff
fi
run check --format github && {
    run lint --format github
    run test --format github ${INPUT_FAIL_UNDER:+--fail-under "$INPUT_FAIL_UNDER"}
}
exit "$failed"
