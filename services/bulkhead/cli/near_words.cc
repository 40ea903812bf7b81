#include "services/bulkhead/cli/near_words.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace bulkhead::cli {
namespace {

// How many slips lead from one word to the other (optimal string alignment).
size_t Slips(std::string_view a, std::string_view b) {
  // [i][j]: between the first i letters of `a` and the first j of `b`.
  std::vector<std::vector<size_t>> slips(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        slips[i][j] = i + j;
        continue;
      }
      const size_t wrong = a[i - 1] == b[j - 1] ? 0 : 1;
      slips[i][j] = std::min({slips[i - 1][j] + 1, slips[i][j - 1] + 1, slips[i - 1][j - 1] + wrong});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        slips[i][j] = std::min(slips[i][j], slips[i - 2][j - 2] + 1);
      }
    }
  }
  return slips[a.size()][b.size()];
}

}  // namespace

std::vector<std::string> NearWords(std::string_view typed, const std::vector<std::string>& words) {
  const size_t bound = std::max<size_t>(1, typed.size() / 3);
  std::vector<std::pair<size_t, std::string>> near;
  for (const std::string& word : words) {
    const size_t slips = Slips(typed, word);
    if (slips <= bound || word.starts_with(typed)) {
      near.emplace_back(std::min(slips, bound), word);
    }
  }
  std::ranges::stable_sort(near, {}, &std::pair<size_t, std::string>::first);
  std::vector<std::string> result;
  for (auto& [slips, word] : near) {
    result.push_back(std::move(word));
  }
  return result;
}

}  // namespace bulkhead::cli
