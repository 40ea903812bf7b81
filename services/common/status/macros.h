// Early return for absl::Status and absl::StatusOr, in functions and (CO_) in coroutines.
#ifndef SERVICES_COMMON_STATUS_MACROS_H_
#define SERVICES_COMMON_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"

#define BULKHEAD_CONCAT_INNER_(a, b) a##b
#define BULKHEAD_CONCAT_(a, b) BULKHEAD_CONCAT_INNER_(a, b)

// Returns the status from the enclosing function unless `expr` (an absl::Status) is OK.
#define RETURN_IF_ERROR(expr)                            \
  do {                                                   \
    absl::Status bulkhead_status_ = (expr);              \
    if (!bulkhead_status_.ok()) return bulkhead_status_; \
  } while (false)

#define CO_RETURN_IF_ERROR(expr)                            \
  do {                                                      \
    absl::Status bulkhead_status_ = (expr);                 \
    if (!bulkhead_status_.ok()) co_return bulkhead_status_; \
  } while (false)

#define BULKHEAD_ASSIGN_OR_(result, ret, lhs, expr) \
  auto result = (expr);                             \
  if (!result.ok()) ret std::move(result).status(); \
  lhs = std::move(result).value()

// Assigns the value of `expr` (an absl::StatusOr) to `lhs`, which may declare a variable, or returns its status.
#define ASSIGN_OR_RETURN(lhs, expr) BULKHEAD_ASSIGN_OR_(BULKHEAD_CONCAT_(bulkhead_result_, __LINE__), return, lhs, expr)

#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  BULKHEAD_ASSIGN_OR_(BULKHEAD_CONCAT_(bulkhead_result_, __LINE__), co_return, lhs, expr)

#endif  // SERVICES_COMMON_STATUS_MACROS_H_
