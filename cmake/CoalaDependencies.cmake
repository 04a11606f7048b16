# Debian 12 has all of these; tools/bootstrap.sh installs them.
find_package(Threads REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(BLAS REQUIRED)
find_package(LAPACK REQUIRED)
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)

if(COALA_LM)
  if(NOT EXISTS ${COALA_LLAMA_PREFIX}/complete)
    message(FATAL_ERROR "COALA_LLAMA_PREFIX does not name a finished llama.cpp. Use `make build`, or pass "
                        "-DCOALA_LLAMA_PREFIX=$(tools/llama.sh), or build the solver alone with -DCOALA_LM=OFF.")
  endif()
  add_library(coala_llama INTERFACE)
  target_include_directories(coala_llama SYSTEM INTERFACE ${COALA_LLAMA_PREFIX}/include
                                                          ${COALA_LLAMA_PREFIX}/include/llama-common)
  foreach(library llama llama-jinja ggml ggml-cpu ggml-base)
    target_link_libraries(coala_llama INTERFACE ${COALA_LLAMA_PREFIX}/lib/lib${library}.a)
  endforeach()
  target_link_libraries(coala_llama INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)
endif()
