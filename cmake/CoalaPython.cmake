# The package coala_align in <build>/python, as it is imported and as `make python` packs it: the extension that
# src/python/*.cpp are, Python's files beside them, and what setuptools wants to know.
set(folder ${CMAKE_BINARY_DIR}/python)

Python_add_library(coala_python_module MODULE WITH_SOABI $<TARGET_OBJECTS:coala_python>)
set(map ${PROJECT_SOURCE_DIR}/cmake/python.map)  # llama.cpp is in other packages too
set_target_properties(coala_python_module PROPERTIES
  OUTPUT_NAME _coala LIBRARY_OUTPUT_DIRECTORY ${folder}/coala_align LINKER_LANGUAGE CXX LINK_DEPENDS ${map})
target_link_libraries(coala_python_module PRIVATE coala_python)
target_link_options(coala_python_module PRIVATE -Wl,--version-script=${map} $<$<CONFIG:Release>:-s>)

configure_file(${PROJECT_SOURCE_DIR}/src/python/package/pyproject.toml.in ${folder}/pyproject.toml @ONLY)
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/python/coala_align/*.py)
set(copies)
foreach(file IN LISTS sources)
  get_filename_component(name ${file} NAME)
  list(APPEND copies ${file} ${folder}/coala_align/${name})
endforeach()
list(APPEND copies ${PROJECT_SOURCE_DIR}/src/python/package/setup.py ${folder}/setup.py
                   ${PROJECT_SOURCE_DIR}/docs/python.md ${folder}/README.md
                   ${PROJECT_SOURCE_DIR}/LICENSE ${folder}/LICENSE
                   ${PROJECT_SOURCE_DIR}/THIRD_PARTY.md ${folder}/THIRD_PARTY.md
                   ${COALA_LLAMA_PREFIX}/LICENSE ${folder}/LICENSE.llama.cpp)
set(copied)
while(copies)
  list(POP_FRONT copies from to)
  add_custom_command(OUTPUT ${to} COMMAND ${CMAKE_COMMAND} -E copy ${from} ${to} DEPENDS ${from} VERBATIM)
  list(APPEND copied ${to})
endwhile()
add_custom_target(python_package ALL DEPENDS ${copied})
add_dependencies(python_package coala_python_module)
