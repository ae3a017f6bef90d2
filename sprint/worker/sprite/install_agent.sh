# An agent's program into ~/.local, unless it is there: $1 the program, $2 its package, $3 the oldest version of
# Node that it works with; "" where the package is PyPI's, which gets an environment of its own. Says what it did.
set -eu
program=$1 package=$2 oldest=$3
prefix="$HOME/.local"
PATH="$prefix/bin:$PATH"
for needed in git python3; do
    command -v "$needed" >/dev/null || { echo "there is no $needed; install it there" >&2; exit 1; }
done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "its python3 is older than 3.10" >&2; exit 1; }
if command -v "$program" >/dev/null; then
    echo "$program is there: $(command -v "$program")"
    exit 0
fi
if [ -z "$oldest" ]; then
    python3 -m venv "$prefix/$program" || { echo "its python3 has no venv; install python3-venv there" >&2; exit 1; }
    "$prefix/$program/bin/pip" install -q --disable-pip-version-check "$package" >&2
    mkdir -p "$prefix/bin"
    ln -sf "$prefix/$program/bin/$program" "$prefix/bin/$program"
else
    is_old() { node -e 'const [a, b] = process.versions.node.split("."), [c, d = 0] = process.argv[1].split("."); process.exit(+a > +c || (+a == +c && +b >= +d) ? 1 : 0)' "$oldest" 2>/dev/null; }
    if ! command -v npm >/dev/null || ! command -v node >/dev/null || is_old; then
        case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) echo "no Node for $(uname -m)" >&2; exit 1 ;; esac
        site=${NODE_MIRROR:-https://nodejs.org/dist}/latest-v22.x
        made=$(mktemp -d "$HOME/.node-XXXXXX")
        trap 'rm -rf "$made"' EXIT
        curl -fsSL --retry 3 "$site/SHASUMS256.txt" -o "$made/sums" || { echo "$site cannot be had; install Node $oldest" >&2; exit 1; }
        archive=$(sed -n "s/.* \(node-v[0-9.]*-linux-$arch\.tar\.gz\)$/\1/p" "$made/sums")
        curl -fsSL --retry 3 "$site/$archive" -o "$made/$archive"
        (cd "$made" && grep " $archive\$" sums | sha256sum -c - >/dev/null) || { echo "$archive is damaged" >&2; exit 1; }
        mkdir -p "$prefix"
        tar -xzf "$made/$archive" -C "$prefix" --strip-components=1
        echo "Node $(node --version) is in $prefix"
    fi
    npm install --global --prefix "$prefix" --no-audit --no-fund --loglevel=error "$package" >&2
fi
command -v "$program" >/dev/null || { echo "$package was installed, and has no $program" >&2; exit 1; }
echo "$program is there: $(command -v "$program")"
