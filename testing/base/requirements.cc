#include "testing/base/requirements.h"

#include <initializer_list>
#include <string_view>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace bulkhead::testing {

void Covers(std::initializer_list<std::string_view> requirements) {
  ::testing::Test::RecordProperty("requirement", absl::StrJoin(requirements, ","));
}

}  // namespace bulkhead::testing
