# Cross-compiling for 64-bit Arm by Debian's compiler, against the folder of Debian's packages that tools/sysroot.sh makes.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_SYSROOT $ENV{COALA_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# What the packages' own scripts would have linked to.
set(BLAS_LIBRARIES ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/openblas-pthread/libopenblas.so)
set(LAPACK_LIBRARIES ${BLAS_LIBRARIES})
