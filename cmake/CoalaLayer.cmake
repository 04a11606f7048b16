# Flags for our own code: every warning is an error here, and only here (dependencies are SYSTEM).
add_library(coala_flags INTERFACE)
target_compile_options(coala_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                                             -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(coala_flags INTERFACE -Wno-restrict)  # false alarms on std::string in GCC 12 (bug 105651)
endif()
if(CMAKE_UNITY_BUILD)
  # What files have by themselves is no header, and hides nothing of another file.
  target_compile_options(coala_flags INTERFACE -Wno-subobject-linkage -Wno-shadow)
endif()
if(COALA_SANITIZE)
  target_compile_options(coala_flags INTERFACE -fsanitize=${COALA_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all)
  if(COALA_SANITIZE MATCHES "address,undefined")
    # Addresses that are none end under the address sanitizer too; checked here, a file of kernels takes 58 s, not 32.
    target_compile_options(coala_flags INTERFACE -fno-sanitize=null,object-size,pointer-overflow,vptr)
  endif()
  target_link_options(coala_flags INTERFACE -fsanitize=${COALA_SANITIZE})
endif()
if(COALA_FUZZ)
  # The warnings are those of GCC; here clang compiles.
  target_compile_options(coala_flags INTERFACE -Wno-error -fsanitize=fuzzer-no-link)
endif()

# coala_precompile(target other [header ...]): the headers of outside libraries that take longer to read than most of our files
# are read once, by `other`. Only where it hides nothing: the layers are compiled without it too, by the presets that
# users take, so that each file includes what it needs.
function(coala_precompile target from)
  if(target STREQUAL from)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${from})
  endif()
  target_compile_options(${target} PRIVATE -fpch-preprocess)  # for ccache
endfunction()

# coala_layer(name [USES layer ...] [LINKS library ...]): the library coala_<name> from every source of src/<name> and src/<name>/cpu.
# USES are the layers it may include, LINKS the outside libraries that only it includes.
function(coala_layer name)
  cmake_parse_arguments(ARG "" "" "USES;LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp
       ${CMAKE_CURRENT_SOURCE_DIR}/${name}/cpu/*.cpp)
  add_library(coala_${name} STATIC ${sources})
  set_target_properties(coala_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                                 VISIBILITY_INLINES_HIDDEN ON)
  target_include_directories(coala_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM ARG_USES PREPEND coala_)
  target_link_libraries(coala_${name} PUBLIC ${ARG_USES} PRIVATE coala_flags ${ARG_LINKS})
  if(COALA_SANITIZE AND nlohmann_json::nlohmann_json IN_LIST ARG_LINKS)
    coala_precompile(coala_${name} coala_core <nlohmann/json.hpp> <fmt/format.h>)
  endif()
endfunction()
