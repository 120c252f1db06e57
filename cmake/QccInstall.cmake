# bin/qcc, include/qcc/, the runtime as archive and as source, the CMake package and qcc.pc.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/qcc")

install(TARGETS qcc qcc_runtime EXPORT qcc_targets
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(TARGETS qcc_ref ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}/qcc")
install(DIRECTORY runtime/include/qcc DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES runtime/pool.c DESTINATION "${CMAKE_INSTALL_DATADIR}/qcc/src")
install(EXPORT qcc_targets FILE qccTargets.cmake NAMESPACE qcc:: DESTINATION "${package_dir}")
configure_package_config_file(cmake/qccConfig.cmake.in "${CMAKE_BINARY_DIR}/qccConfig.cmake"
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/qccConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH QCC_PREFIX_FROM_PC "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" /p)
configure_file(cmake/qcc.pc.in "${CMAKE_BINARY_DIR}/qcc.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/qccConfig.cmake" "${CMAKE_BINARY_DIR}/qccConfigVersion.cmake" cmake/QccAddModel.cmake
  DESTINATION "${package_dir}")
install(FILES "${CMAKE_BINARY_DIR}/qcc.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
