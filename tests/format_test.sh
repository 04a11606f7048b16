#!/bin/sh
# All C++ files are as clang-format 14, Debian's, writes them.
if ! clang-format --version 2>/dev/null | grep -q ' 14\.'; then
  echo 'clang-format 14 is not installed'
  exit 77
fi
git ls-files '*.cpp' '*.h' | xargs clang-format --dry-run --Werror
