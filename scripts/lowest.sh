# Sourced by scripts/test after environment.sh: makes $root/.venv-lowest ready, with the oldest versions that
# pyproject.toml allows, and sets $python. Needs uv, whose own settings apply (UV_OVERRIDE, UV_FIND_LINKS, ...).

prepare_lowest() {
    if ! command -v uv >/dev/null; then
        echo "bakeoff: --resolution lowest needs uv: pip install uv" >&2
        exit 2
    fi
    python=$root/.venv-lowest/bin/python
    uv venv --quiet --allow-existing --python "${PYTHON:-3.11}" "$root/.venv-lowest"
    # As in set_up.py: the build of PyTorch for this machine if it can be had.
    (export UV_TORCH_BACKEND="${UV_TORCH_BACKEND:-auto}" && install_lowest) || install_lowest
}

install_lowest() {
    uv pip install --quiet --python "$python" --resolution lowest-direct --editable "$root[dev]" >&2
}
