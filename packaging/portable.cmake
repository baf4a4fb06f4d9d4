# SPDX-License-Identifier: Apache-2.0
# What makes one binary good for Debian, Fedora, RHEL 9 and Amazon Linux 2023: no library whose
# soname or symbol versions belong to one distribution.
#
# - gRPC and abseil change their sonames with every release: linked statically, as is libstdc++,
#   whose newest symbols RHEL 9 does not have. libgcc_s stays: its unwinder in a static libgcc
#   needs glibc 2.35. arc4random.c is for what a static libstdc++ needs of glibc 2.36.
# - Debian's libcurl gives its symbols the version CURL_OPENSSL_4, which nobody else has. We link
#   against a stub with the same soname and the same functions without versions.

set(CMAKE_SKIP_RPATH ON) # else the stub's folder would be looked into
add_link_options(-static-libstdc++ -Wl,--exclude-libs,ALL -Wl,--as-needed)
# The same sources make the same bytes, wherever they lie.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
  add_compile_options(-fcf-protection)
endif()

# grpc_static: gRPC's core as pkg-config tells it, each library as an archive.
function(find_archives out)
  foreach(name ${ARGN})
    find_library(ARCHIVE_${name} NAMES lib${name}.a HINTS ${GRPC_LIBRARY_DIRS} ${GRPC_STATIC_LIBRARY_DIRS} REQUIRED)
    mark_as_advanced(ARCHIVE_${name})
    list(APPEND found ${ARCHIVE_${name}})
  endforeach()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

set(names ${GRPC_STATIC_LIBRARIES})
list(FILTER names INCLUDE REGEX "^(grpc|gpr|absl)")
list(REMOVE_DUPLICATES names)
find_archives(archives ${names} address_sorting upb) # what gRPC's .pc does not name
list(JOIN archives "," archives_text)
add_library(grpc_static INTERFACE)
target_include_directories(grpc_static SYSTEM INTERFACE ${GRPC_INCLUDE_DIRS})
target_link_libraries(grpc_static INTERFACE "$<LINK_GROUP:RESCAN,${archives_text}>" cares z ${CMAKE_DL_LIBS})
set(GRPC_TARGET grpc_static)

# curl_stub: libcurl.so.4 as the linker sees it, without versions.
find_library(CURL_SHARED NAMES libcurl.so.4 HINTS ${CURL_LIBRARY_DIRS} ${CURL_LIBDIR} REQUIRED)
mark_as_advanced(CURL_SHARED)
set(stub ${CMAKE_BINARY_DIR}/curl_stub)
file(MAKE_DIRECTORY ${stub})
add_custom_command(
  OUTPUT ${stub}/curl_stub.c
  COMMAND ${CMAKE_SOURCE_DIR}/packaging/curl_stub.sh ${CMAKE_NM} ${CURL_SHARED} > ${stub}/curl_stub.c
  DEPENDS ${CURL_SHARED} packaging/curl_stub.sh)
add_library(curl_stub SHARED ${stub}/curl_stub.c)
set_target_properties(curl_stub PROPERTIES OUTPUT_NAME curl SOVERSION 4 LIBRARY_OUTPUT_DIRECTORY ${stub})
target_include_directories(curl_stub SYSTEM INTERFACE ${CURL_INCLUDE_DIRS})
set(CURL_TARGET curl_stub)

# needs_stay_low(TARGET): says what the program needs of glibc and the like, and ends the build where that is
# more than RHEL 9 has.
add_library(arc4random OBJECT ${CMAKE_SOURCE_DIR}/packaging/arc4random.c)
function(needs_stay_low name)
  target_link_libraries(${name} PRIVATE arc4random)
  add_custom_command(TARGET ${name} POST_BUILD VERBATIM
                     COMMAND ${CMAKE_SOURCE_DIR}/packaging/needs.sh ${CMAKE_READELF} $<TARGET_FILE:${name}>)
endfunction()
