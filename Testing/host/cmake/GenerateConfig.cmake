message(STATUS "Extension ${PROJECT_NAME} depends on ${EXTENSION_DEPENDS}")
