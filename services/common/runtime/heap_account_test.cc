#include "services/common/runtime/heap_account.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "boost/asio/any_io_executor.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "gtest/gtest.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/runtime/metered_executor.h"

namespace bulkhead {
namespace {

constexpr int64_t kMebibyte = 1 << 20;

class HeapAccountTest : public ::testing::Test {
 protected:
  int calls_ = 0;
  HeapAccount account_{8 * kMebibyte, [this] { ++calls_; }};
};

TEST_F(HeapAccountTest, CountsWhatItsScopeAllocatesAndFrees) {
  auto before = std::make_unique<std::vector<char>>(kMebibyte);
  {
    const HeapAccount::Scope scope(&account_);
    auto block = std::make_unique<std::vector<char>>(2 * kMebibyte);
    EXPECT_GE(account_.held(), 2 * kMebibyte);
    EXPECT_LT(account_.held(), 3 * kMebibyte);
    block.reset();
    EXPECT_EQ(account_.held(), 0);
    before.reset();
    EXPECT_LT(account_.held(), 0);
  }
  const std::vector<char> after(kMebibyte);
  EXPECT_LT(account_.held(), 0);
}

TEST_F(HeapAccountTest, OtherThreadsAndScopesWithinAreNotCounted) {
  const HeapAccount::Scope scope(&account_);
  const int64_t held = account_.held();
  std::vector<char> elsewhere;
  {
    const HeapAccount::Scope none(nullptr);
    std::thread([&elsewhere] { elsewhere.resize(4 * kMebibyte); }).join();
    const std::vector<char> here(4 * kMebibyte);
    EXPECT_EQ(account_.held(), held);
  }
  EXPECT_EQ(account_.held(), held);
}

TEST_F(HeapAccountTest, LargeBlockBeyondTheLimitThrowsAndIsToldOnce) {
  const HeapAccount::Scope scope(&account_);
  std::vector<std::vector<char>> blocks;
  EXPECT_THROW(
      {
        while (true) {
          blocks.emplace_back(kMebibyte);
        }
      },
      std::bad_alloc);
  EXPECT_EQ(blocks.size(), 7u);
  EXPECT_THROW(blocks.emplace_back(kMebibyte), std::bad_alloc);
  blocks.pop_back();
  EXPECT_NO_THROW(blocks.emplace_back(kMebibyte / 2));
  EXPECT_TRUE(account_.exceeded());
  EXPECT_EQ(calls_, 1);
}

TEST_F(HeapAccountTest, SmallBlocksHaveTheReserve) {
  const HeapAccount::Scope scope(&account_);
  std::list<std::string> blocks;
  EXPECT_THROW(
      {
        while (true) {
          blocks.emplace_back(10'000, 'x');
        }
      },
      std::bad_alloc);
  EXPECT_EQ(calls_, 1);
  EXPECT_GT(account_.held(), 8 * kMebibyte + HeapAccount::kReserveBytes - kMebibyte);
  EXPECT_LE(account_.held(), 8 * kMebibyte + HeapAccount::kReserveBytes);
}

TEST_F(HeapAccountTest, WhatIsAllowedAndWhatIsLiftedPass) {
  const HeapAccount::Scope scope(&account_);
  account_.Allow(8 * kMebibyte);
  std::vector<char> block(15 * kMebibyte);
  EXPECT_FALSE(account_.exceeded());
  account_.Lift();
  std::vector<char> more(200 * kMebibyte);
  EXPECT_FALSE(account_.exceeded());
}

TEST_F(HeapAccountTest, EveryFormOfNewIsCounted) {
  struct alignas(64) Line {
    char bytes[64];
  };
  const HeapAccount::Scope scope(&account_);
  auto* array = new char[kMebibyte];
  auto* lines = new Line[1000];
  auto* tried = new (std::nothrow) char[kMebibyte];
  EXPECT_EQ(reinterpret_cast<uintptr_t>(lines) % 64, 0u);
  EXPECT_GE(account_.held(), 2 * kMebibyte + 64'000);
  EXPECT_EQ(new (std::nothrow) char[size_t{1} << 40], nullptr);
  delete[] array;
  delete[] lines;
  delete[] tried;
  EXPECT_EQ(account_.held(), 0);
}

TEST(MeteredExecutorTest, StepsOfACoroutineAreOnItsAccount) {
  auto executor = Executor::Create({.name = "test", .threads = 2});
  auto account = std::make_shared<HeapAccount>(64 * kMebibyte, [] {});
  const MeteredExecutor metered(boost::asio::make_strand(executor->get()), account);
  auto pool = BlockingPool::Create(1);
  const auto work = [&]() -> Awaitable<int64_t> {
    std::vector<char> block(kMebibyte);
    const bool elsewhere = co_await RunBlocking(pool.get(), [] { return std::vector<char>(4 * kMebibyte).size() > 0; });
    EXPECT_TRUE(elsewhere);
    std::vector<char> another(kMebibyte);
    co_return account->held();
  };
  const int64_t held = BlockOn(*executor, [&]() -> Awaitable<int64_t> {
    co_return co_await boost::asio::co_spawn(boost::asio::any_io_executor(metered), work(), boost::asio::use_awaitable);
  }());
  EXPECT_GE(held, 2 * kMebibyte);
  EXPECT_LT(held, 3 * kMebibyte);
}

}  // namespace
}  // namespace bulkhead
