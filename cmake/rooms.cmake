# One CMake target a room. A room's public headers stand in its include/ folder, so a room that is
# not named under USES cannot be included: the one-way arrows are kept by the compiler.
#
#   room(NAME base SOURCES error.c … USES … PRIVATE <imported libraries>)
#   program(NAME secrets-encrypt SOURCES … USES …)
#   unit_test(NAME base_error SOURCES base/error.c USES base [LABELS unit])

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON) # for tests/analysis/run.sh
set(CMAKE_C_EXTENSIONS ON) # gnu17: cleanup attribute, explicit_bzero, O_CLOEXEC and the like

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

option(SECRETS_ENCRYPT_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(SECRETS_ENCRYPT_TSAN "Build with ThreadSanitizer" OFF)
option(SECRETS_ENCRYPT_ANALYZE "Build with gcc's -fanalyzer (tests/analysis/run.sh analyzer)" OFF)
set(SECRETS_ENCRYPT_FUZZ OFF CACHE STRING
  "Build the libFuzzer harnesses (needs clang); FAST: under UBSan alone, and without tracing comparisons")

# No path of the build in a program: asserts (in generated code) name their file.
add_compile_options(-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/= -fmacro-prefix-map=${CMAKE_BINARY_DIR}/=)

add_library(se_flags INTERFACE)
target_compile_definitions(se_flags INTERFACE _GNU_SOURCE SECRETS_ENCRYPT_VERSION="${PROJECT_VERSION}")
target_compile_options(se_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
  -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough -fno-strict-aliasing
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation> # texts for people are cut at their buffer on purpose
  $<$<C_COMPILER_ID:Clang>:-Wno-missing-field-initializers> # rows of tables leave out what is none; gcc allows it
  -fstack-protector-strong -fPIE
  -include ${CMAKE_SOURCE_DIR}/cmake/banned.h)
target_link_options(se_flags INTERFACE -pie -Wl,-z,relro,-z,now)
if(SECRETS_ENCRYPT_SANITIZE)
  target_compile_options(se_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(se_flags INTERFACE -fsanitize=address,undefined)
endif()
if(SECRETS_ENCRYPT_TSAN)
  target_compile_options(se_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(se_flags INTERFACE -fsanitize=thread)
endif()
if(SECRETS_ENCRYPT_ANALYZE)
  # Warnings here, so that one run shows them all; the script counts them.
  target_compile_options(se_flags INTERFACE -fanalyzer -Wno-error -Wno-unused-value -fdiagnostics-plain-output)
  target_compile_definitions(se_flags INTERFACE SECRETS_ENCRYPT_ANALYZE)
endif()
if(SECRETS_ENCRYPT_FUZZ)
  target_compile_options(se_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(SECRETS_ENCRYPT_FUZZ STREQUAL "FAST")
  target_compile_options(se_flags INTERFACE -fsanitize=undefined -fno-sanitize-recover=all -fno-sanitize-coverage=trace-cmp)
  target_link_options(se_flags INTERFACE -fsanitize=undefined)
endif()
if(CMAKE_BUILD_TYPE MATCHES "Rel")
  target_compile_definitions(se_flags INTERFACE _FORTIFY_SOURCE=2)
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(room)
  cmake_parse_arguments(R "" "NAME" "SOURCES;USES;PRIVATE" ${ARGN})
  add_library(${R_NAME} STATIC ${R_SOURCES})
  target_include_directories(${R_NAME} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include
                                       PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${R_NAME} PUBLIC ${R_USES} PRIVATE se_flags ${R_PRIVATE})
endfunction()

function(program)
  cmake_parse_arguments(P "" "NAME" "SOURCES;USES;PRIVATE" ${ARGN})
  add_executable(${P_NAME} ${P_SOURCES})
  target_include_directories(${P_NAME} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${P_NAME} PRIVATE se_flags ${P_USES} ${P_PRIVATE})
  set_target_properties(${P_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

function(unit_test)
  cmake_parse_arguments(T "" "NAME;TIMEOUT" "SOURCES;USES;PRIVATE;LABELS" ${ARGN})
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 60)
  endif()
  if(SECRETS_ENCRYPT_SANITIZE OR SECRETS_ENCRYPT_TSAN) # several times as slow
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 5")
  endif()
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
  add_executable(test_${T_NAME} ${T_SOURCES})
  target_link_libraries(test_${T_NAME} PRIVATE se_flags ${T_USES} PkgConfig::CMOCKA ${T_PRIVATE})
  target_compile_definitions(test_${T_NAME} PRIVATE TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}/tests")
  set_target_properties(test_${T_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${T_NAME} COMMAND test_${T_NAME})
  set_tests_properties(${T_NAME} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
endfunction()
