#!/usr/bin/env bash
# What the GitHub action runs on a pull request where a comment is asked for, with `policyd`, `git`
# and `gh` on the path: it says in one comment what the change of the policies does, and renews that
# comment with each push.
#
# INPUT_PATHS: a path a line; the first is compared. BASE: the commit that the pull request is
# compared with. NUMBER: the pull request's. GH_TOKEN: a token that may write its comments.
set -euo pipefail

folder=$(grep -m 1 -v '^[[:space:]]*$' <<<"${INPUT_PATHS:-policies}")
# A checkout has one commit; the other is fetched.
git cat-file -e "$BASE^{commit}" 2>/dev/null || git fetch --quiet --depth 1 origin "$BASE"

body=$(mktemp)
trap 'rm -f "$body"' EXIT
if ! policyd diff "$BASE" --policies "$folder" --format markdown >"$body" 2>"$body.err"; then
    # Policies that do not load on one side cannot be compared: the other steps say why.
    cat "$body.err" >&2
    printf '### Policies: not compared\n\nThe policies of one of the two commits do not load.\n' >"$body"
fi
rm -f "$body.err"
gh pr comment "$NUMBER" --edit-last --create-if-none --body-file "$body"
