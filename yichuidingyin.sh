#!/usr/bin/env bash
# 一锤定音 — one blow, and the tone is set. Sets chunfen up beside this script, then runs it.
#
#   bash yichuidingyin.sh              the menu
#   bash yichuidingyin.sh VERB …       any command, e.g. balance, audit, infer --help
#   bash yichuidingyin.sh swift VERB … the same by older names, e.g. swift merge-lora
#   bash yichuidingyin.sh test         all checks and tests of the project
#
# The first start makes a virtual environment in .venv beside this script and installs into it with pip, from wherever
# pip is set to install; it needs no root and touches nothing else. Later starts are immediate. An interrupted first
# start is repaired by the next. CHUNFEN_PYTHON=/path/to/python picks the Python.
set -euo pipefail
PATH="${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin"
unset PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null || printf '%s' "${BASH_SOURCE[0]}")")" && pwd)
venv="$here/.venv"
python="$venv/bin/python"
unfinished="$venv/.chunfen-unfinished"

case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in zh*) chinese=yes ;; *) chinese='' ;; esac
say() { if [ -n "$chinese" ]; then printf '%s\n' "$2" >&2; else printf '%s\n' "$1" >&2; fi; }
die() {
  say "Error: $1" "错误：$2"
  exit 1
}

# A GPU that appears later wants another torch: then remove .venv and start again.
has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; }

# What the installation depends on, as one short word: if it changes, the next start installs again.
state_of() { # $1: run or test
  {
    printf '%s\n' "$here" "$1"
    "$python" -V
    cat -- "$here/pyproject.toml" "$here/compat/swift/pyproject.toml" "$here"/constraints/*.txt
  } | cksum | tr ' ' '-'
}
constraints() { has_gpu || printf '%s' "$here/constraints/cpu.txt"; }
stamp_is() { [ -f "$venv/.chunfen-$1" ] && [ "$(cat -- "$venv/.chunfen-$1")" = "$(state_of "$1")" ]; }
ready() { # $1: run or test; what serves the tests serves every run
  [ -x "$python" ] && [ ! -e "$unfinished" ] || return 1
  stamp_is test || { [ "$1" = run ] && stamp_is run; }
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

find_python() {
  local name found='' old='' names='python3 python3.13 python3.12 python3.11 python3.14 python'
  if [ -n "${CHUNFEN_PYTHON:-}" ]; then
    command -v -- "$CHUNFEN_PYTHON" >/dev/null 2>&1 || die "CHUNFEN_PYTHON is $CHUNFEN_PYTHON, which cannot be run." \
      "CHUNFEN_PYTHON 指定的 $CHUNFEN_PYTHON 无法运行。"
    names=''
  fi
  for name in ${CHUNFEN_PYTHON:+"$CHUNFEN_PYTHON"} $names; do
    command -v -- "$name" >/dev/null 2>&1 || continue
    if ! is_new_enough "$name"; then
      old="${old:-$name ($("$name" -V 2>&1 || true))}"
    elif can_make_venv "$name"; then
      command -v -- "$name"
      return
    else
      found="${found:-$name}"
    fi
  done
  [ -z "$found" ] || die \
    "$found cannot make virtual environments. Install its venv package (Debian, Ubuntu: python3-venv) and start again." \
    "$found 无法创建虚拟环境。请安装它的 venv 包（Debian、Ubuntu：python3-venv）后重新运行。"
  [ -z "$old" ] || die \
    "Python 3.11 or newer is needed; found only $old. Install a newer one, or set CHUNFEN_PYTHON to its path." \
    "需要 Python 3.11 或更新版本，目前只有 $old。请安装新版本，或用 CHUNFEN_PYTHON 指定其路径。"
  die "No Python was found. Install Python 3.11 or newer (python.org, apt, dnf, brew, conda), then start again." \
    "没有找到 Python。请先安装 Python 3.11 或更新版本（python.org、apt、dnf、brew、conda），然后重新运行。"
}

steps=4
step=0
begin() { # $1, $2: what is done, in both languages
  step=$((step + 1))
  started=$SECONDS
  say "[$step/$steps] $1" "[$step/$steps] $2"
}
done_in() { say "      done in $((SECONDS - started)) s" "      用时 $((SECONDS - started)) 秒"; }

# On a terminal pip shows its progress; elsewhere only what goes wrong.
pip_install() { if [ -t 2 ]; then "$python" -m pip install "$@" >&2; else "$python" -m pip install -qq "$@" >&2; fi; }

# The usual index has torch for GPUs only, and gigabytes with it: never start that download in silence.
warn_of_cuda() { # $1: constraints
  local version
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || return 0
  version=$("$python" -m pip install -q --dry-run --no-deps --ignore-installed --report - -c "$1" torch 2>/dev/null |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])' 2>/dev/null) || return 0
  case "$version" in *+cpu) return 0 ;; esac
  say "      Note: your package index has torch $version with GPU libraries only: several GB, of no use on this machine.
      To get the small CPU build, stop now (Ctrl-C), add PyTorch's CPU index to pip as pytorch.org describes,
      and start again. Going on in 10 seconds." \
    "      注意：您的 pip 源只有带 GPU 库的 torch $version，要下载数 GB，而本机用不到。
      如需小得多的 CPU 版，请现在按 Ctrl-C，按 pytorch.org 的说明为 pip 加上 PyTorch 的 CPU 源，再重新运行。
      10 秒后继续。"
  sleep 10
}

set_up() { # $1: run or test
  local from limits
  [ -w "$here" ] || die "The folder $here is not writable; copy the project to a folder of your own." \
    "文件夹 $here 不可写，请把项目复制到自己的文件夹。"
  say "Setting up chunfen in $venv (once; 2 to 10 minutes, depending on the network; about 1.5 GB of disk)." \
    "正在 $venv 中安装 chunfen（只需一次；视网络需 2 至 10 分钟，约占 1.5 GB 磁盘）。"
  begin "Looking for Python 3.11 or newer …" "查找 Python 3.11 或更新版本……"
  from=$(find_python)
  say "      $from ($("$from" -V 2>&1))" "      $from（$("$from" -V 2>&1)）"

  begin "Making the virtual environment …" "创建虚拟环境……"
  if [ -e "$unfinished" ] || ! { is_new_enough "$python" && "$python" -m pip -V >/dev/null 2>&1; }; then
    "$from" -m venv --clear -- "$venv" || die "The virtual environment could not be made in $venv (see above)." \
      "无法在 $venv 中创建虚拟环境（见上）。"
  fi
  : >"$unfinished"
  done_in

  begin "Updating pip …" "更新 pip……"
  pip_install -U pip || say "      pip could not be updated; going on with the one that is there." \
    "      无法更新 pip，继续使用现有版本。"
  done_in

  limits=$(constraints)
  begin "Installing torch, transformers and the rest${limits:+ (CPU build)} … this is the long one." \
    "安装 torch、transformers 等${limits:+（CPU 版）}……这一步最久。"
  [ -z "$limits" ] || warn_of_cuda "$limits"
  if [ "$1" = test ]; then target="${here}[test]"; else target="${here}[all]"; fi
  pip_install ${limits:+-c "$limits"} -e "$target" -e "$here/compat/swift" || die \
    "pip could not install the packages (its reason is above). Check the network, the disk, and the mirror or proxy that pip is set to (pip config list), then start again: it goes on from what was downloaded." \
    "pip 安装失败（原因见上）。请检查网络、磁盘以及 pip 的镜像或代理设置（pip config list），然后重新运行：已下载的部分不会重来。"
  done_in
  state_of "$1" >"$venv/.chunfen-$1"
  rm -f -- "$unfinished"
  say "Ready after $SECONDS s. The commands chunfen and swift are in $venv/bin." \
    "安装完成，共用时 $SECONDS 秒。命令 chunfen 和 swift 在 $venv/bin 中。"
}

run_tests() {
  local failed=''
  cd -- "$here"
  # Tests are many small things: two at a time with one thread each are sooner done than one with two.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  check() {
    say "== $1" "== $1"
    shift
    "$@" || failed=yes
  }
  check "ruff check" "$python" -m ruff check .
  check "ruff format" "$python" -m ruff format --check .
  check "mypy" "$python" -m mypy
  check "layers" "$python" -c 'import sys; from importlinter.cli import lint_imports_command; sys.argv[0] = "lint-imports"; lint_imports_command()'
  check "pytest" "$python" -m pytest --numprocesses 2 --dist loadfile "$@"
  [ -z "$failed" ] || die "Not all checks passed (see above)." "有检查未通过（见上）。"
}

if [ "${1:-}" = test ]; then purpose='test'; else purpose='run'; fi
if ! ready "$purpose"; then
  # One set-up at a time: the script itself is the lock, which the system lifts when this process ends, however it ends.
  if command -v flock >/dev/null 2>&1; then
    exec 9<"${BASH_SOURCE[0]}"
    flock -n 9 || {
      say "Another set-up is running in this folder; waiting for it …" "此文件夹中正在进行另一个安装，等待其完成……"
      flock 9
    }
  fi
  ready "$purpose" || set_up "$purpose"
  exec 9<&-
fi

if [ "$purpose" = test ]; then
  shift
  run_tests "$@"
elif [ $# -eq 0 ] && [ -t 0 ] && [ -t 1 ]; then
  exec "$python" -m chunfen menu
elif [ "${1:-}" = swift ]; then
  shift
  exec "$python" -m swift "$@"
else
  exec "$python" -m chunfen "$@"
fi
