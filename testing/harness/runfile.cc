#include "testing/harness/runfile.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace bulkhead::testing {

std::string Runfile(std::string_view repository, std::string_view path) {
  return absl::StrCat(::testing::SrcDir(), repository, "/", path);
}

}  // namespace bulkhead::testing
