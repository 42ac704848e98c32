# What the programs say of themselves, made from their own tables: manual pages and the bash completion, in build/man and
# build/completions. A build with sanitizers is not installed, and may not run outside of its tests: it makes none.
if(NOT CMAKE_C_FLAGS MATCHES "-fsanitize" AND NOT CMAKE_CROSSCOMPILING)
  include(GNUInstallDirs)

  # The output appears only when the program has made all of it.
  function(obs_text output program)
    set(file ${CMAKE_BINARY_DIR}/${output})
    get_filename_component(folder ${file} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(OUTPUT ${file}
                       COMMAND ${program} ${ARGN} > ${file}.new
                       COMMAND ${CMAKE_COMMAND} -E rename ${file}.new ${file}
                       DEPENDS ${program} VERBATIM)
    set_property(GLOBAL APPEND PROPERTY obs_texts ${file})
  endfunction()

  obs_text(man/observerd.1 observerd --man)
  obs_text(man/observerctl.1 observerctl man)
  obs_text(completions/observerctl observerctl completion bash)
  get_property(texts GLOBAL PROPERTY obs_texts)
  add_custom_target(texts ALL DEPENDS ${texts})

  install(FILES ${CMAKE_BINARY_DIR}/man/observerd.1 ${CMAKE_BINARY_DIR}/man/observerctl.1
          DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/completions/observerctl
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()
