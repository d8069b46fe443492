#define _GNU_SOURCE
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char fail_message[IM_MESSAGE_SIZE];

bool fail(int error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(fail_message, sizeof fail_message, format, arguments);
  va_end(arguments);
  if (error != 0 && length >= 0 && length < IM_MESSAGE_SIZE)
    snprintf(fail_message + length, (size_t)(IM_MESSAGE_SIZE - length), ": %s", strerror(error));
  return false;
}
