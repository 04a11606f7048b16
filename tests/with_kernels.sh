#!/bin/sh
# Runs a test with the kernels of one instruction set: with_kernels.sh portable|avx2|avx512 PROGRAM
case $1 in
  avx2) needs='avx2 fma f16c' ;;
  avx512) needs='avx512f avx512dq avx512bw avx512vl' ;;
  *) needs= ;;
esac
for flag in $needs; do
  if ! grep -qw "$flag" /proc/cpuinfo; then
    echo "this CPU has no $flag"
    exit 77
  fi
done
COALA_SIMD=$1 exec "$2" --gtest_brief=1
