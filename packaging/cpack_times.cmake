# SPDX-License-Identifier: Apache-2.0
# Read by cpack when all files lie in its own folder: they get the time of SOURCE_DATE_EPOCH, so that the same
# sources make the same package.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  execute_process(COMMAND find ${CPACK_TEMPORARY_DIRECTORY} -exec touch -h -d @$ENV{SOURCE_DATE_EPOCH} {} +
                  COMMAND_ERROR_IS_FATAL ANY)
endif()
