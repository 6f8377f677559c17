# Before CPack packs: all files and folders get one time, so that the same sources make the same package.
# SOURCE_DATE_EPOCH as reproducible-builds.org has it; without it, CPack's times stand.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  execute_process(COMMAND find ${CPACK_TEMPORARY_DIRECTORY} -exec touch --no-dereference
                          --date=@$ENV{SOURCE_DATE_EPOCH} {} +
                  COMMAND_ERROR_IS_FATAL ANY)
endif()
