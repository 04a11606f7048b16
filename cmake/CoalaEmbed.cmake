# coala_embed_page(layer): the files of src/<layer>/page become bytes in a .cpp of the layer, written anew whenever one of
# them changes, and <layer>_page_files() of <layer>/page.h. A file's path is its name, that of index.html is "/".
function(coala_embed_page layer)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${layer}/page/*)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${layer}_page.cpp)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DLAYER=${layer} -DOUTPUT=${output} "-DFILES=${files}" -P ${PROJECT_SOURCE_DIR}/cmake/CoalaEmbed.cmake
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/cmake/CoalaEmbed.cmake
    VERBATIM)
  target_sources(coala_${layer} PRIVATE ${output})
  set_source_files_properties(${output} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# The rest runs while building: cmake -DLAYER=... -DOUTPUT=... -DFILES=... -P CoalaEmbed.cmake
if(NOT CMAKE_SCRIPT_MODE_FILE)
  return()
endif()

set(type_of_html "text/html; charset=utf-8")
set(type_of_css "text/css; charset=utf-8")
set(type_of_js "text/javascript; charset=utf-8")
set(arrays "")
set(entries "")
set(count 0)
foreach(file IN LISTS FILES)
  get_filename_component(path ${file} NAME)
  get_filename_component(kind ${file} LAST_EXT)
  string(SUBSTRING "${kind}" 1 -1 kind)
  if(NOT DEFINED type_of_${kind})
    message(FATAL_ERROR "${file}: the type of such files is not known here")
  endif()
  if(path STREQUAL "index.html")
    set(path "")
  endif()
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND arrays "constexpr char k${count}[] = {\n${bytes}'\\0'};\n")
  file(SHA256 ${file} sha256)
  string(APPEND entries "    {\"/${path}\", \"${type_of_${kind}}\", {k${count}, sizeof k${count} - 1}, \"${sha256}\"},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUTPUT} "#include \"${LAYER}/page.h\"\n
namespace coala {\nnamespace {\n
${arrays}
constexpr PageFile kFiles[] = {\n${entries}};\n
}  // namespace\n
std::span<const PageFile> ${LAYER}_page_files() {\n  return kFiles;\n}\n
}  // namespace coala\n")
