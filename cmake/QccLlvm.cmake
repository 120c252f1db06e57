# LLVM 19 from the distribution, through its C API; no other version.
find_program(LLVM_CONFIG NAMES llvm-config-19 REQUIRED)
execute_process(COMMAND ${LLVM_CONFIG} --includedir OUTPUT_VARIABLE llvm_include OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${LLVM_CONFIG} --libdir OUTPUT_VARIABLE llvm_libdir OUTPUT_STRIP_TRAILING_WHITESPACE)
add_library(qcc_llvm INTERFACE)
target_include_directories(qcc_llvm SYSTEM INTERFACE "${llvm_include}")
target_link_libraries(qcc_llvm INTERFACE "${llvm_libdir}/libLLVM-19.so")
