# The libraries that others link, made of the layers' objects, which are compiled once: coala::solver (from arrays to a
# head), and coala::lm (what has to do with a model) with it. Their headers are include/coala; what else is in them is
# hidden.

# coala_library(component LAYERS layer ... [USES library ...] LINKS library ...): LINKS are for coala's own sources.
function(coala_library component)
  cmake_parse_arguments(ARG "" "" "LAYERS;USES;LINKS" ${ARGN})
  list(TRANSFORM ARG_LAYERS REPLACE "(.+)" "$<TARGET_OBJECTS:coala_\\1>" OUTPUT_VARIABLE objects)
  add_library(coala-${component} ${objects})
  set_target_properties(coala-${component} PROPERTIES
    EXPORT_NAME ${component} LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_link_libraries(coala-${component} PUBLIC ${ARG_USES} PRIVATE ${ARG_LINKS})
  if(BUILD_SHARED_LIBS)
    set(map ${PROJECT_SOURCE_DIR}/cmake/exports.map)  # also of what the standard library's templates become
    target_link_options(coala-${component} PRIVATE -Wl,--version-script=${map} -Wl,--no-undefined)
    set_target_properties(coala-${component} PROPERTIES LINK_DEPENDS ${map})
  endif()
  coala_public(coala-${component})
endfunction()

# What a library gives to who links it.
function(coala_public target)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${target} INTERFACE cxx_std_20)
endfunction()

set(solver_layers core linalg solver features head eval api)
set(solver_links fmt::fmt LAPACK::LAPACK BLAS::BLAS coala::xxhash Threads::Threads)
if(COALA_DEVICE STREQUAL "vulkan")
  list(APPEND solver_links Vulkan::Vulkan)
endif()
set(lm_layers data lm extract decode train report align api_lm)
set(lm_links fmt::fmt ZLIB::ZLIB coala::zstd coala::llama)
if(COALA_LM AND BUILD_SHARED_LIBS)
  # One library: of two each would have the inside of the solver for itself.
  coala_library(lm LAYERS ${solver_layers} ${lm_layers} LINKS ${lm_links} ${solver_links})
  add_library(coala-solver INTERFACE)
  set_target_properties(coala-solver PROPERTIES EXPORT_NAME solver)
  target_link_libraries(coala-solver INTERFACE coala-lm)
else()
  coala_library(solver LAYERS ${solver_layers} LINKS ${solver_links})
  if(COALA_LM)
    coala_library(lm LAYERS ${lm_layers} USES coala-solver LINKS ${lm_links} ${solver_links})
  endif()
endif()
