# Runs in the sandbox, in the checkout: $1 task, $2 base commit, $3 bytes of index on standard input,
# $4 its time, $5 most new files, $6 most bytes in new and changed files; the rest are options that exclude paths.
set -eu
task=$1 base=$2 index=$3 made=$4 max_files=$5 max_bytes=$6
shift 6
top=$(pwd -P)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { printf '%s\n' "$2" >&2; exit "$1"; }

# Not by git itself: each program that is started takes as long as a few hundred files.
mkdir "$dir/git" "$dir/git/objects" "$dir/git/refs"
export GIT_DIR="$dir/git" GIT_WORK_TREE="$top"
printf 'ref: refs/heads/work\n' > "$GIT_DIR/HEAD"
printf '[core]\nrepositoryformatversion = 0\nbare = false\nfsync = none\nlooseCompression = 1\n[gc]\nauto = 0\n' > "$GIT_DIR/config"
printf '[advice]\naddEmbeddedRepo = false\n' >> "$GIT_DIR/config"
head -c "$index" > "$GIT_DIR/index"
touch -d "@$made" "$GIT_DIR/index"

# git would wait for ever for the other end of a pipe, and give up at what it may not read.
amiss=$(find . \( -name '.git?*' ! -type f ! -type d ! -type l -printf '81 %p is no regular file' -quit \) \
    -o \( \( -type d ! -perm -500 -o -type f ! -perm -400 \) -printf '82 %p cannot be read' -quit \) 2> /dev/null || true)
[ -z "$amiss" ] || fail "${amiss%% *}" "${amiss#* }"

list_changed() {
    git update-index -q --refresh > /dev/null 2>&1 || true
    git diff-files -z --name-only --diff-filter=MT --ignore-submodules=all > "$dir/changed"
}

if [ "$task" = list ]; then
    list_changed
    git diff-files -z --name-only --diff-filter=D --ignore-submodules=all | sed -z 's/^/- /'
    git add -u .
    xargs -0 -r git ls-files -s -z -- < "$dir/changed" | sed -z 's/^[0-7]* \([0-9a-f]*\) 0\t/\1 /'
    git ls-files -z --others --directory --no-empty-directory | sed -z 's/^/+ /'
    exit 0
fi

is_little() {
    sum=0
    for bytes in $(xargs -0 -r stat -c %s -- < "$dir/sized" 2> /dev/null || true); do # one that is gone has none
        [ "$bytes" -le "$max_bytes" ] || return
        sum=$((sum + bytes))
    done
    [ "$sum" -le "$max_bytes" ]
}

git ls-files -z --modified > "$dir/sized"
git ls-files -z --others --exclude-standard "$@" > "$dir/others"
: > "$dir/nested" > "$dir/new"
if [ -s "$dir/others" ]; then
    # A repository inside this one is listed as a folder; git is not let into it.
    grep -z '/$' < "$dir/others" > "$dir/nested" || true
    grep -z -v '/$' < "$dir/others" > "$dir/new" || true
    [ "$(tr -dc '\0' < "$dir/new" | wc -c)" -le "$max_files" ] || fail 83 "there are more than $max_files new files"
    cat "$dir/new" >> "$dir/sized"
fi
if ! is_little; then
    list_changed # without what lies behind a link that a folder was replaced by, which is deleted
    cat "$dir/changed" "$dir/new" > "$dir/sized"
    is_little || fail 84 "new and changed files are over $max_bytes bytes"
fi

git add -u .
[ ! -s "$dir/new" ] || git update-index -z --add --stdin < "$dir/new"
[ ! -s "$dir/nested" ] || sed -z "s|^\(.*\)/\$|160000 $base 0\t\1|" "$dir/nested" | git update-index -z --index-info
tree=$(git write-tree --missing-ok)
work=$(printf 'tree %s\nparent %s\nauthor export <> 0 +0000\ncommitter export <> 0 +0000\n\nwork\n' "$tree" "$base" \
    | git hash-object -t commit -w --stdin)
printf '# v2 git bundle\n-%s base\n%s refs/heads/work\n\n' "$base" "$work"
cd "$GIT_DIR/objects"
for object in ??/*; do
    printf '%s%s\n' "${object%/*}" "${object#*/}"
done | git pack-objects --stdout -q --window=0
