# cmake --install: the programs, libobserver with what finds it (pkg-config, find_package), the unit and the examples.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS observerd observerctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS observer observer_shared
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/observer DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES README.md LICENSE SECURITY.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY proto DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "openapi.json"
        PATTERN vectors EXCLUDE)
install(DIRECTORY tests/examples DESTINATION ${CMAKE_INSTALL_DOCDIR} USE_SOURCE_PERMISSIONS
        PATTERN node_modules EXCLUDE PATTERN __pycache__ EXCLUDE)

# The unit names the program where it lands.
install(CODE "
  file(READ \"${CMAKE_SOURCE_DIR}/deploy/observerd.service\" unit)
  string(REPLACE /usr/bin/observerd \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/observerd\" unit \"\${unit}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/observerd.service\" \"\${unit}\")")
install(FILES ${CMAKE_BINARY_DIR}/observerd.service DESTINATION lib/systemd/system)
install(FILES deploy/observerd-override.conf DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Both find the prefix from their own place, so that an installed tree can be moved. What the static library needs is
# named plainly: libcurl's own file asks for the development files of all it is made
# of, which a program that links libcurl.so does not need.
file(RELATIVE_PATH OBSERVER_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
foreach(package observer observer-static)
  configure_file(scripts/${package}.pc.in ${package}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

configure_package_config_file(scripts/observer-config.cmake.in observer-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/observer
                              PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/observer-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/observer-config.cmake ${CMAKE_BINARY_DIR}/observer-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/observer)
