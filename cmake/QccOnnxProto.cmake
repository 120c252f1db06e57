# C code for ONNX's protocol buffers, generated from the distribution's onnx.proto by protobuf-c.
find_program(PROTOC_C NAMES protoc-c REQUIRED)
find_path(ONNX_PROTO_DIR onnx/onnx.proto PATHS /usr/include REQUIRED)
find_library(PROTOBUF_C protobuf-c REQUIRED)
set(onnx_dir "${CMAKE_BINARY_DIR}/proto")
file(MAKE_DIRECTORY "${onnx_dir}")
add_custom_command(
  OUTPUT "${onnx_dir}/onnx/onnx.pb-c.c" "${onnx_dir}/onnx/onnx.pb-c.h"
  COMMAND "${PROTOC_C}" "--c_out=${onnx_dir}" "-I${ONNX_PROTO_DIR}" onnx/onnx.proto
  DEPENDS "${ONNX_PROTO_DIR}/onnx/onnx.proto" VERBATIM)
add_library(qcc_onnx_proto STATIC "${onnx_dir}/onnx/onnx.pb-c.c" "${onnx_dir}/onnx/onnx.pb-c.h")
target_include_directories(qcc_onnx_proto SYSTEM PUBLIC "${onnx_dir}")
target_link_libraries(qcc_onnx_proto PUBLIC "${PROTOBUF_C}")
if(QCC_SANITIZE)
  target_compile_options(qcc_onnx_proto PRIVATE -fsanitize=address,undefined)
endif()
