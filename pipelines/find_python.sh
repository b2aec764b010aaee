#!/bin/sh
# Print the Python to make .venv with: the one that is named, else the one that .venv has, else one on the PATH.
# usage: find_python.sh [PYTHON]; where none fits, one line that says why, and exit code 2.
set -u
range=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)".*/\1 \2/p' pyproject.toml)
lowest=${range% *}
above=${range#* }
# That of an environment which is to be made anew is no choice of the user's.
PATH=$(printf '%s' "$PATH" | sed "s|$PWD/\.venv/bin:||g")

# Read by any Python from 2.7 on. In an environment it names the interpreter that the environment was made by.
probe='
import platform, sys, sysconfig
lacking = []
for name in ("venv", "ensurepip", "ssl", "sqlite3", "ctypes", "zlib"):
    try:
        __import__(name)
    except ImportError:
        lacking.append(name)
minor = "3.%d" % sys.version_info[1]
if not (3, int(sys.argv[1])) <= sys.version_info[:2] < (3, int(sys.argv[2])):
    print("no is " + platform.python_version())
elif platform.python_implementation() != "CPython":
    print("no is " + platform.python_implementation() + ", which TensorFlow has no packages for")
elif sys.maxsize < 2**32:
    print("no has 32 bits, which TensorFlow has no packages for")
elif sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("no is free-threaded, which TensorFlow has no packages for")
elif "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
    print("no is built on musl, which TensorFlow has no packages for")
elif lacking:
    print("no lacks " + ", ".join(lacking) + " (on Debian and Ubuntu: apt-get install python" + minor + "-venv)")
else:
    print("ok " + getattr(sys, "_base_executable", sys.executable))
'

verdict() {
  if ! command -v "$1" >/dev/null; then
    echo "no is not there"
    return
  fi
  said=$("$1" -c "$probe" "$lowest" "$above" 2>/dev/null) || said="no does not start"
  echo "$said"
}

first_fitting() {
  for candidate in "$@"; do
    said=$(verdict "$candidate")
    [ "${said%% *}" = ok ] && return 0
  done
  return 1
}

others=python3
minor=$above
while [ "$minor" -gt "$lowest" ]; do
  minor=$((minor - 1))
  others="$others python3.$minor"
done
if [ -n "${1-}" ]; then
  wanted=$1
  first_fitting "$1"
else
  wanted=python3
  first_fitting .venv/bin/python $others
fi && echo "${said#ok }" && exit 0

reason=$(verdict "$wanted")
if first_fitting $others; then
  advice="run \`make repro PYTHON=$candidate\`"
else
  advice="install Python 3.$lowest or later, and name it where it is not python3: \`make repro PYTHON=/its/path\`"
fi
echo "error: expected Python 3.$lowest to 3.$((above - 1)), found that $wanted ${reason#no }; $advice" >&2
exit 2
