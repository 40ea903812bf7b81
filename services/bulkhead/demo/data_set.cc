#include "services/bulkhead/demo/data_set.h"

#include <string_view>

namespace bulkhead::demo {
namespace {

constexpr unsigned char kBytes[] = {
#embed <services/bulkhead/demo/birdstrikes.csv>
};

}  // namespace

std::string_view DataSet() { return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)}; }

}  // namespace bulkhead::demo
