// Proves that fuzz tests build in each configuration: any bytes make a string that counts them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string copy(reinterpret_cast<const char*>(data), size);
  if (copy.size() != size) {
    std::abort();
  }
  return 0;
}
