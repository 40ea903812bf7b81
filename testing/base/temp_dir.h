// A folder for one test.
#ifndef TESTING_BASE_TEMP_DIR_H_
#define TESTING_BASE_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace bulkhead::testing {

// A new empty folder under the test's own temporary directory, removed with all it holds at the end of its life.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // The path of `name` inside; nothing is created.
  std::string File(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace bulkhead::testing

#endif  // TESTING_BASE_TEMP_DIR_H_
