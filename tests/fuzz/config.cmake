# The harness of lib/config, included by tests/fuzz/CMakeLists.txt.
add_executable(fuzz_config ${CMAKE_CURRENT_LIST_DIR}/fuzz_config.c)
target_link_libraries(fuzz_config PRIVATE se_flags config base)
target_link_options(fuzz_config PRIVATE -fsanitize=fuzzer)
