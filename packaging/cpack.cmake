# SPDX-License-Identifier: Apache-2.0
# What is installed where, and how deb and rpm are made of it. `./dev package` builds them; the option
# CRI_RESOLVED_PORTABLE must be on. Component "common" is for both, "deb" and "rpm" for one of them.
include(GNUInstallDirs)

set(home ${CMAKE_SOURCE_DIR}/packaging)
set(made ${CMAKE_BINARY_DIR}/packaging) # what is made for packages alone
set(units_folder lib/systemd/system)
set(doc_folder ${CMAKE_INSTALL_DATADIR}/doc/cri-resolved)
file(GLOB units CONFIGURE_DEPENDS ${home}/systemd/*.service ${home}/systemd/*.socket)
file(GLOB presets CONFIGURE_DEPENDS ${home}/systemd/*.preset)
file(GLOB for_prometheus CONFIGURE_DEPENDS ${home}/prometheus/*)

# --- made files --------------------------------------------------------------------------------

# made_file(NAME DEPENDS... COMMAND...): one file in ${made}, from the standard output of a command.
function(made_file name)
  cmake_parse_arguments(A "" "" "DEPENDS;COMMAND" ${ARGN})
  cmake_path(GET name PARENT_PATH folder)
  file(MAKE_DIRECTORY ${made}/${folder})
  add_custom_command(OUTPUT ${made}/${name} COMMAND ${A_COMMAND} > ${made}/${name} DEPENDS ${A_DEPENDS})
  set_property(GLOBAL APPEND PROPERTY made_files ${made}/${name})
endfunction()

set(default_config ${home}/default_config.sed)
made_file(config.toml DEPENDS ${default_config} ${CMAKE_SOURCE_DIR}/config/example.toml
          COMMAND sed -E -f ${default_config} ${CMAKE_SOURCE_DIR}/config/example.toml)
foreach(shell bash zsh fish)
  made_file(completion.${shell} DEPENDS cri-resolvectl COMMAND cri-resolvectl completion ${shell})
endforeach()
made_file(changelog.gz DEPENDS ${home}/changelog COMMAND gzip -9nc ${home}/changelog)
set(pages cri-resolved.8 cri-resolvectl.1 cri-resolved.toml.5)
foreach(page ${pages})
  made_file(man/${page}.gz DEPENDS ${CMAKE_BINARY_DIR}/man/${page} COMMAND gzip -9nc ${CMAKE_BINARY_DIR}/man/${page})
  string(REGEX REPLACE ".*\\." "" section ${page})
  install(FILES ${made}/man/${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT common)
endforeach()
get_property(all_made GLOBAL PROPERTY made_files)
add_custom_target(package_files DEPENDS cri-resolved cri-resolvectl ${all_made})

# --- what goes where ---------------------------------------------------------------------------

install(TARGETS cri-resolved cri-resolvectl RUNTIME COMPONENT common)
install(FILES ${made}/config.toml DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/cri-resolved COMPONENT common)
install(FILES ${units} DESTINATION ${units_folder} COMPONENT common)
install(FILES ${presets} DESTINATION lib/systemd/system-preset COMPONENT common)
install(FILES ${for_prometheus} DESTINATION ${CMAKE_INSTALL_DATADIR}/cri-resolved COMPONENT common)
install(FILES ${made}/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME cri-resolvectl COMPONENT common)
install(FILES ${made}/completion.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
        RENAME cri-resolvectl.fish COMPONENT common)
install(FILES ${made}/completion.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions
        RENAME _cri-resolvectl COMPONENT deb)
install(FILES ${made}/completion.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions
        RENAME _cri-resolvectl COMPONENT rpm)
install(FILES ${home}/copyright DESTINATION ${doc_folder} COMPONENT common)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${doc_folder} COMPONENT common FILES_MATCHING PATTERN "*.md")
install(FILES ${made}/changelog.gz DESTINATION ${doc_folder} COMPONENT deb)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/cri-resolved COMPONENT rpm)

# --- scripts -----------------------------------------------------------------------------------

foreach(unit ${units})
  cmake_path(GET unit FILENAME name)
  list(APPEND unit_names ${name})
endforeach()
list(JOIN unit_names " " UNITS)
foreach(part kubelet restart)
  file(READ ${home}/scripts/${part}.sh text)
  string(REGEX REPLACE "^# SPDX[^\n]*\n" "" text "${text}") # who includes it has said so
  string(TOUPPER ${part} name)
  set(${name} "${text}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${home}/scripts/${part}.sh)
endforeach()
foreach(script deb/postinst deb/prerm deb/postrm rpm/post rpm/preun rpm/postun)
  configure_file(${home}/${script} ${made}/${script} @ONLY
                 FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endforeach()
file(WRITE ${made}/deb/conffiles "${CMAKE_INSTALL_FULL_SYSCONFDIR}/cri-resolved/config.toml\n")

# The changelog's newest entry is this version; rpm wants it in its own words.
execute_process(COMMAND awk -f ${home}/rpm/changelog.awk ${home}/changelog OUTPUT_FILE ${made}/rpm/changelog
                COMMAND_ERROR_IS_FATAL ANY)
file(STRINGS ${home}/changelog newest LIMIT_COUNT 1)
if(NOT newest MATCHES "^cri-resolved \\(${PROJECT_VERSION}\\) ")
  message(FATAL_ERROR "packaging/changelog begins with another version than ${PROJECT_VERSION}: ${newest}")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${home}/changelog ${home}/rpm/changelog.awk)

# --- CPack -------------------------------------------------------------------------------------

set(CPACK_GENERATOR DEB RPM)
set(CPACK_PROJECT_CONFIG_FILE ${home}/cpack_generator.cmake) # what differs between the two
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_RELOCATABLE OFF)
set(CPACK_STRIP_FILES ON) # ./dev package keeps what is stripped in an archive of its own
set(CPACK_PRE_BUILD_SCRIPTS ${home}/cpack_times.cmake)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_PACKAGE_NAME cri-resolved)
set(CPACK_PACKAGE_VENDOR "cri-resolved")
set(CPACK_PACKAGE_CONTACT "cri-resolved maintainers <maintainers@cri-resolved.invalid>") # an address that nobody has
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "image service that resolves tags at their true upstream")
set(CPACK_PACKAGE_DESCRIPTION
    "cri-resolved stands between kubelet and containerd as kubelet's image service.
It asks an image's upstream which digest the tag has now, with the pod's own
credentials, lets containerd pull exactly that digest, from mirrors where there
are any, and points the tag at it. All other calls pass through untouched.
.
Installing it switches nothing on: neither kubelet nor containerd is changed
or restarted, and no unit is enabled.")

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "containerd | containerd.io, prometheus")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${made}/deb/conffiles ${made}/deb/postinst ${made}/deb/prerm ${made}/deb/postrm)

set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_COMPONENT_INSTALL ON)
set(CPACK_RPM_PACKAGE_LICENSE "Apache-2.0 AND BSD-3-Clause AND MIT") # the statically linked ones, too
set(CPACK_RPM_PACKAGE_SUMMARY "Image service that resolves tags at their true upstream")
set(CPACK_RPM_CHANGELOG_FILE ${made}/rpm/changelog)
set(CPACK_RPM_POST_INSTALL_SCRIPT_FILE ${made}/rpm/post)
set(CPACK_RPM_PRE_UNINSTALL_SCRIPT_FILE ${made}/rpm/preun)
set(CPACK_RPM_POST_UNINSTALL_SCRIPT_FILE ${made}/rpm/postun)
set(CPACK_RPM_USER_FILELIST "%config(noreplace) ${CMAKE_INSTALL_FULL_SYSCONFDIR}/cri-resolved/config.toml"
    "%license ${CMAKE_INSTALL_FULL_DATADIR}/licenses/cri-resolved/LICENSE")
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION
    /etc /usr/lib/systemd /usr/lib/systemd/system /usr/lib/systemd/system-preset /usr/share/bash-completion
    /usr/share/bash-completion/completions /usr/share/fish /usr/share/fish/vendor_completions.d /usr/share/zsh
    /usr/share/zsh/site-functions /usr/share/licenses /usr/share/man /usr/share/man/man1 /usr/share/man/man5
    /usr/share/man/man8)
set(CPACK_RPM_SPEC_MORE_DEFINE
    "%define packager ${CPACK_PACKAGE_CONTACT}
%define __os_install_post %{nil}
%define _buildhost reproducible
%define _build_id_links none
%define use_source_date_epoch_as_buildtime 1
%define clamp_mtime_to_source_date_epoch 1")
include(CPack)
