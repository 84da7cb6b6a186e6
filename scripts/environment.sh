# Sourced by the scripts beside it, which set $root first. Makes $root/.venv ready and sets $python.
# The fast path reads one small file and starts no Python; all else is in set_up.py.

# Usage: prepare_environment run|dev
prepare_environment() {
    python=$root/.venv/bin/python
    checksum=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum | tr ' ' '-')
    if stamp_is_current "$1"; then
        return 0
    fi
    find_interpreter
    "$interpreter" "$root/scripts/set_up.py" "$1" "$checksum" "${PYTHON:+chosen}" || exit $?
}

# The stamp's lines: level, checksum, root, size of the interpreter, Python version. An upgraded
# interpreter or a moved folder leaves another size or root, and so is set up anew.
stamp_is_current() {
    [ -x "$python" ] && [ -r "$root/.venv/bakeoff-stamp" ] || return 1
    {
        IFS= read -r level && IFS= read -r known_checksum && IFS= read -r known_root &&
            IFS= read -r known_size && IFS= read -r known_version
    } <"$root/.venv/bakeoff-stamp" || return 1
    [ "$level" = dev ] || [ "$level" = "$1" ] || return 1
    [ "$known_checksum" = "$checksum" ] && [ "$known_root" = "$root" ] || return 1
    [ "$known_size" = "$(LC_ALL=C ls -lLn "$python" | awk '{ print $5 }')" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$known_version" = "$(version_of "$PYTHON")" ]
}

version_of() {
    "$1" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

find_interpreter() {
    for interpreter in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.14 python3.11 python; do
        case $(version_of "$interpreter" || true) in
            3.1[1-9] | 3.[2-9][0-9]) return 0 ;;
        esac
        if [ -n "${PYTHON:-}" ]; then
            echo "bakeoff: PYTHON=$PYTHON is not a Python 3.11 or newer; name one, or unset PYTHON." >&2
            exit 2
        fi
    done
    echo "bakeoff needs Python 3.11 or newer and found none; install one, or name it: PYTHON=/path/to/python3.12 $0" >&2
    exit 2
}
