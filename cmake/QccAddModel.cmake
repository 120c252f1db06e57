# qcc_add_model(<target> MODEL <file.onnx> [NAME <name>] [FLAGS <flag>...] [STATIC|SHARED|OBJECT])
#
# Compiles a model when it, or what else was read for it (external data, files of --const or --calibrate), is newer than
# what was made of it, links it into <target> and lets <target> include
# "<name>.h". NAME defaults to the file's name as a C identifier. OBJECT (the default) links the object file itself, STATIC
# makes an archive of it, SHARED a library that <target> finds at run time in the build folder.
cmake_policy(SET CMP0116 NEW) # names in the file of DEPFILE are as the compiler wrote them
function(qcc_add_model target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "STATIC;SHARED;OBJECT" "MODEL;NAME" "FLAGS")
  if(NOT arg_MODEL)
    message(FATAL_ERROR "qcc_add_model(${target}): MODEL is missing")
  endif()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "qcc_add_model(${target}): unknown words: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  get_filename_component(model "${arg_MODEL}" ABSOLUTE)
  if(NOT arg_NAME)
    get_filename_component(arg_NAME "${model}" NAME_WE)
    string(MAKE_C_IDENTIFIER "${arg_NAME}" arg_NAME)
  endif()
  set(dir "${CMAKE_CURRENT_BINARY_DIR}/qcc/${target}")
  file(MAKE_DIRECTORY "${dir}")
  if(arg_SHARED)
    set(output "${dir}/lib${arg_NAME}.so")
    set(mode --emit=lib)
  else()
    set(output "${dir}/${arg_NAME}.o")
    set(mode -c)
  endif()
  add_custom_command(
    OUTPUT "${output}" "${dir}/${arg_NAME}.h"
    COMMAND qcc::qcc "${model}" ${mode} -o "${output}" "--header=${dir}/${arg_NAME}.h" "--name=${arg_NAME}"
      "--depfile=${output}.d" ${arg_FLAGS}
    DEPENDS "${model}" qcc::qcc
    DEPFILE "${output}.d"
    COMMENT "Compiling model ${arg_NAME}"
    VERBATIM)
  add_custom_target(${target}_${arg_NAME}_model DEPENDS "${output}" "${dir}/${arg_NAME}.h")
  add_dependencies(${target} ${target}_${arg_NAME}_model)
  target_include_directories(${target} PRIVATE "${dir}")
  target_sources(${target} PRIVATE "${dir}/${arg_NAME}.h")
  if(arg_STATIC)
    set(archive "${dir}/lib${arg_NAME}.a")
    add_custom_command(
      OUTPUT "${archive}"
      COMMAND "${CMAKE_AR}" rcs "${archive}" "${output}"
      DEPENDS "${output}"
      VERBATIM)
    add_custom_target(${target}_${arg_NAME}_archive DEPENDS "${archive}")
    add_dependencies(${target} ${target}_${arg_NAME}_archive)
    target_link_libraries(${target} PRIVATE "${archive}")
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${archive}")
  elseif(arg_SHARED)
    target_link_libraries(${target} PRIVATE "${output}")
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${output}")
  else()
    set_source_files_properties("${output}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_sources(${target} PRIVATE "${output}")
  endif()
endfunction()
