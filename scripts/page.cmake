# The page and the description of the API become part of the bridge. What src/plane/build.mjs made is in the repository, so
# that this needs no Node; scripts/plane.sh compares it with its sources.
file(GLOB page_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/plane/dist/*)
if(NOT page_files MATCHES "/index[.]html(;|$)")
  message(FATAL_ERROR "src/plane/dist/index.html is missing: run scripts/plane.sh")
endif()
list(APPEND page_files ${CMAKE_SOURCE_DIR}/proto/openapi.json)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/page_files.c
                   COMMAND ${CMAKE_COMMAND} -D OUTPUT=${CMAKE_BINARY_DIR}/page_files.c -D "FILES=${page_files}"
                           -P ${CMAKE_SOURCE_DIR}/scripts/embed.cmake
                   DEPENDS ${page_files} ${CMAKE_SOURCE_DIR}/scripts/embed.cmake VERBATIM)
target_sources(obs_bridge PRIVATE ${CMAKE_BINARY_DIR}/page_files.c)
