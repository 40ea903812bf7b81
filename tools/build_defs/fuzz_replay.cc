// Feeds each file named on the command line to LLVMFuzzerTestOneInput, as one test case a file.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

class Replay : public testing::Test {
 public:
  explicit Replay(std::string path) : path_(std::move(path)) {}

  void TestBody() override {
    std::string input;
    if (!path_.empty()) {
      std::ifstream file(path_, std::ios::binary);
      ASSERT_TRUE(file.good()) << "cannot read " << path_;
      input.assign(std::istreambuf_iterator<char>(file), {});
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }

 private:
  const std::string path_;
};

void Register(const std::string& name, const std::string& path) {
  testing::RegisterTest("FuzzReplay", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                        [path]() -> testing::Test* { return new Replay(path); });
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  Register("EmptyInput", "");
  for (int i = 1; i < argc; ++i) {
    const std::string path = argv[i];
    Register(path.substr(path.rfind('/') + 1), path);
  }
  return RUN_ALL_TESTS();
}
