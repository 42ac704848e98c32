# What the programs say of themselves, made from their own tables: manual pages, completions and a sample configuration,
# in build/man, build/completions and build/observerd.conf.sample. A build with sanitizers is not installed, and may not
# run outside of its tests: it makes none.
if(NOT CMAKE_C_FLAGS MATCHES "-fsanitize" AND NOT CMAKE_CROSSCOMPILING)
  include(GNUInstallDirs)

  # The output appears only when the program has made all of it.
  function(obs_text output folder program)
    set(file ${CMAKE_BINARY_DIR}/${output})
    get_filename_component(parent ${file} DIRECTORY)
    file(MAKE_DIRECTORY ${parent})
    add_custom_command(OUTPUT ${file}
                       COMMAND ${program} ${ARGN} > ${file}.new
                       COMMAND ${CMAKE_COMMAND} -E rename ${file}.new ${file}
                       DEPENDS ${program} VERBATIM)
    set_property(GLOBAL APPEND PROPERTY obs_texts ${file})
    install(FILES ${file} DESTINATION ${folder})
  endfunction()

  # A page for each command: the rows of the one table.
  set(commands_table ${CMAKE_SOURCE_DIR}/src/observerctl/cli/commands.h)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${commands_table})
  file(READ ${commands_table} table)
  string(REGEX MATCHALL "\n  X\\([a-z]+\\)" rows "${table}")
  foreach(row IN LISTS rows)
    string(REGEX REPLACE "\n  X\\(([a-z]+)\\)" "\\1" command "${row}")
    obs_text(man/observerctl-${command}.1 ${CMAKE_INSTALL_MANDIR}/man1 observerctl man ${command})
  endforeach()
  obs_text(man/observerctl.1 ${CMAKE_INSTALL_MANDIR}/man1 observerctl man)
  obs_text(man/observerd.8 ${CMAKE_INSTALL_MANDIR}/man8 observerd --man)

  obs_text(observerd.conf.sample ${CMAKE_INSTALL_DOCDIR} observerd --sample-config)

  # Where each shell looks for those of packages. Debian's zsh looks elsewhere below /usr than below /usr/local.
  if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(zsh_folder ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  else()
    set(zsh_folder ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  endif()
  obs_text(completions/observerctl ${CMAKE_INSTALL_DATADIR}/bash-completion/completions observerctl completion bash)
  obs_text(completions/_observerctl ${zsh_folder} observerctl completion zsh)
  obs_text(completions/observerctl.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d observerctl completion fish)

  get_property(texts GLOBAL PROPERTY obs_texts)
  add_custom_target(texts ALL DEPENDS ${texts})
endif()
