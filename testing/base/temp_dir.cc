#include "testing/base/temp_dir.h"

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace bulkhead::testing {

TempDir::TempDir() : path_(absl::StrCat(::testing::TempDir(), "/bulkhead.XXXXXX")) {
  CHECK(mkdtemp(path_.data()) != nullptr) << "Cannot create a folder like " << path_;
}

TempDir::~TempDir() {
  std::error_code ignored;  // A folder that stays behind fails no test; the sandbox removes it.
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::File(std::string_view name) const { return absl::StrCat(path_, "/", name); }

}  // namespace bulkhead::testing
