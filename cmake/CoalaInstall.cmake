# `cmake --install`: the program, its licences and the questions to practise on; of a portable build also llama.cpp's
# libraries and ggml's code for each kind of CPU. What else it links is put beside them by tools/package.sh.
include(GNUInstallDirs)
install(TARGETS coala)
install(FILES README.md LICENSE THIRD_PARTY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES demo/questions.jsonl DESTINATION ${CMAKE_INSTALL_DATADIR}/coala)
if(COALA_LM)
  install(FILES ${COALA_LLAMA_PREFIX}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME LICENSE.llama.cpp)
endif()
if(COALA_PORTABLE AND COALA_LM)
  set_target_properties(coala PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/coala")
  target_link_options(coala PRIVATE -Wl,--disable-new-dtags)  # DT_RPATH: also for what the libraries need in turn
  install(DIRECTORY ${COALA_LLAMA_PREFIX}/lib/ DESTINATION lib/coala FILES_MATCHING PATTERN "*.so")
endif()
