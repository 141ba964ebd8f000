#include "kernels/sorting.h"

#include "kernels/extents.h"
#include "simd/parallel.h"
#include "simd/vec.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kGrain = 4096;  // elements that are worth a task
constexpr std::int64_t kRun = 16;      // runs sorted by insertion before merging
constexpr std::int64_t kFew = 32;      // elements that are kept in order by insertion
constexpr std::int64_t kKept = 32;     // elements that top_k keeps beyond twice as many as asked

// An unsigned key in the elements' order.
KCORE_INLINE std::uint8_t order_key(std::uint8_t x) { return x; }
KCORE_INLINE std::uint32_t order_key(std::int32_t x) {
  return static_cast<std::uint32_t>(x) ^ 0x80000000u;
}
KCORE_INLINE std::uint64_t order_key(std::int64_t x) {
  return static_cast<std::uint64_t>(x) ^ 0x8000000000000000u;
}
KCORE_INLINE std::uint32_t order_key(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if (x != x) return ~0u;
  if (x == 0) bits = 0;
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
KCORE_INLINE std::uint64_t order_key(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if (x != x) return ~std::uint64_t{0};
  if (x == 0) bits = 0;
  return bits >> 63 ? ~bits : bits | 0x8000000000000000u;
}

template <class T>
struct Entry {
  decltype(order_key(T{})) key;
  std::int64_t index;
};

template <class T>
void insertion_sort(Entry<T>* entries, std::int64_t n) {
  for (std::int64_t i = 1; i < n; ++i) {
    const Entry<T> entry = entries[i];
    std::int64_t j = i;
    for (; j > 0 && entries[j - 1].key > entry.key; --j) entries[j] = entries[j - 1];
    entries[j] = entry;
  }
}

// Merges runs of growing length back and forth; returns the half that the result is in.
template <class T>
const Entry<T>* merge_sort(Entry<T>* from, Entry<T>* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += kRun) insertion_sort(from + i, min(kRun, n - i));
  for (std::int64_t run = kRun; run < n; run *= 2) {
    for (std::int64_t begin = 0; begin < n; begin += 2 * run) {
      const std::int64_t middle = min(n, begin + run), end = min(n, begin + 2 * run);
      std::int64_t left = begin, right = middle, out = begin;
      while (left < middle && right < end) {
        to[out++] = from[right].key < from[left].key ? from[right++] : from[left++];
      }
      while (left < middle) to[out++] = from[left++];
      while (right < end) to[out++] = from[right++];
    }
    Entry<T>* swapped = from;
    from = to;
    to = swapped;
  }
  return from;
}

KCORE_INLINE void write_index(void* out, std::int64_t bytes, std::int64_t i, std::int64_t value) {
  if (bytes == 4) {
    static_cast<std::int32_t*>(out)[i] = static_cast<std::int32_t>(value);
  } else {
    static_cast<std::int64_t*>(out)[i] = value;
  }
}

// The first `keep` of a row's order.
template <class T>
void write_order(const T* in, const Entry<T>* sorted, std::int64_t row, std::int64_t keep,
                 T* values, void* indices, std::int64_t index_bytes) {
  for (std::int64_t i = 0; i < keep; ++i) {
    const std::int64_t index = sorted[i].index;
    if (values != nullptr) values[row * keep + i] = in[index];
    if (indices != nullptr) write_index(indices, index_bytes, row * keep + i, index);
  }
}

// Calls f(row, room for n entries, room for as many more) for every row.
template <class T, class F>
void over_rows(std::int64_t rows, std::int64_t n, std::byte* workspace, const F& f) {
  const std::int64_t limit = min(rows, kSortingTasks);
  const std::int64_t tasks = min(limit, ceil_div(rows * n, kGrain));
  if (tasks == 0) return;
  const std::int64_t share = ceil_div(rows, tasks);
  parallel_for(tasks, [&](std::int64_t task) {
    auto* from = reinterpret_cast<Entry<T>*>(workspace) + task * n * 2;
    const std::int64_t last = min(rows, (task + 1) * share);
    for (std::int64_t row = task * share; row < last; ++row) f(row, from, from + n);
  });
}

template <class T>
void sort(std::int64_t rows, std::int64_t n, bool descending, const void* x, std::byte* workspace,
          void* values, void* indices, std::int64_t index_bytes) {
  over_rows<T>(rows, n, workspace, [&](std::int64_t row, Entry<T>* from, Entry<T>* to) {
    const T* in = static_cast<const T*>(x) + row * n;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto key = order_key(in[i]);
      from[i].key = descending ? static_cast<decltype(key)>(~key) : key;
      from[i].index = i;
    }
    write_order<T>(in, merge_sort<T>(from, to, n), row, n, static_cast<T*>(values), indices,
                   index_bytes);
  });
}

// The first index from i on of an element above `least`, or NaN; n if there is none.
template <class T>
std::int64_t next_above(const T* x, std::int64_t i, std::int64_t n, T least) {
  if constexpr (sizeof(T) >= 4) {
    for (; i + kWidth<T> <= n; i += kWidth<T>) {
      const std::int64_t lane = first_set<T>(~(load(x + i) <= least));
      if (lane < kWidth<T>) return i + lane;
    }
  }
  while (i < n && x[i] <= least) ++i;
  return i;
}

// The k greatest, greatest first, each inserted where it belongs.
template <class T>
const Entry<T>* greatest_few(const T* x, std::int64_t n, std::int64_t k, Entry<T>* kept) {
  std::int64_t count = 0;
  for (std::int64_t i = 0;; ++i) {
    if (count == k) i = next_above(x, i, n, x[kept[k - 1].index]);
    if (i >= n) return kept;
    Entry<T> entry;
    entry.key = static_cast<decltype(entry.key)>(~order_key(x[i]));
    entry.index = i;
    if (count == k && entry.key >= kept[k - 1].key) continue;  // one NaN more
    std::int64_t j = count < k ? count++ : k - 1;
    for (; j > 0 && kept[j - 1].key > entry.key; --j) kept[j] = kept[j - 1];
    kept[j] = entry;
  }
}

// The same for more. Elements are kept until there is no more room, and then those
// alone that are among the k greatest so far.
template <class T>
const Entry<T>* greatest(const T* x, std::int64_t n, std::int64_t k, Entry<T>* kept,
                         Entry<T>* spare) {
  const std::int64_t room = min(n, 2 * k + kKept);
  std::int64_t count = 0;
  bool bounded = false;
  T least{};
  for (std::int64_t i = 0;; ++i) {
    if (bounded) i = next_above(x, i, n, least);
    if (i >= n) return merge_sort<T>(kept, spare, count);
    const auto key = order_key(x[i]);
    kept[count].key = static_cast<decltype(key)>(~key);
    kept[count++].index = i;
    if (count < room || room == n) continue;
    if (merge_sort<T>(kept, spare, count) != kept) {
      Entry<T>* const sorted = spare;
      spare = kept;
      kept = sorted;
    }
    count = k;
    least = x[kept[k - 1].index];
    bounded = true;
  }
}

template <class T>
void top_k(std::int64_t rows, std::int64_t n, std::int64_t k, const void* x, std::byte* workspace,
           void* values, void* indices, std::int64_t index_bytes) {
  if (rows * k == 0) return;
  over_rows<T>(rows, n, workspace, [&](std::int64_t row, Entry<T>* from, Entry<T>* to) {
    const T* in = static_cast<const T*>(x) + row * n;
    const Entry<T>* sorted =
        k <= kFew ? greatest_few<T>(in, n, k, from) : greatest<T>(in, n, k, from, to);
    write_order<T>(in, sorted, row, k, static_cast<T*>(values), indices, index_bytes);
  });
}

template <class T>
void searchsorted(std::int64_t n, const void* sorted, std::int64_t count, const void* values,
                  bool right, void* out, std::int64_t index_bytes) {
  const T* x = static_cast<const T*>(sorted);
  parallel_for(ceil_div(count, kGrain), [&](std::int64_t task) {
    const std::int64_t last = min(count, (task + 1) * kGrain);
    for (std::int64_t j = task * kGrain; j < last; ++j) {
      const auto key = order_key(static_cast<const T*>(values)[j]);
      std::int64_t low = 0, high = n;
      while (low < high) {
        const std::int64_t middle = low + (high - low) / 2;
        const auto other = order_key(x[middle]);
        if (right ? other <= key : other < key) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      write_index(out, index_bytes, j, low);
    }
  });
}

template <class T>
void in_top_k(std::int64_t rows, std::int64_t n, std::int64_t k, const void* predictions,
              const void* targets, std::int64_t target_bytes, bool* out) {
  const std::int64_t grain = n == 0 ? kGrain : 1 + 8 * kGrain / n;
  parallel_for(ceil_div(rows, grain), [&](std::int64_t task) {
    const std::int64_t last = min(rows, (task + 1) * grain);
    for (std::int64_t row = task * grain; row < last; ++row) {
      const std::int64_t target = target_bytes == 4
                                      ? static_cast<const std::int32_t*>(targets)[row]
                                      : static_cast<const std::int64_t*>(targets)[row];
      out[row] = false;
      if (target < 0 || target >= n) continue;
      const T* x = static_cast<const T*>(predictions) + row * n;
      const T wanted = x[target];
      std::int64_t greater = 0, finite = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        greater += x[i] > wanted;
        finite += x[i] - x[i] == 0;
      }
      out[row] = finite == n && greater < k;
    }
  });
}

}  // namespace

const SortingKernels sorting_table = {
    {sort<std::uint8_t>, sort<std::int32_t>, sort<std::int64_t>, sort<float>, sort<double>},
    {top_k<std::uint8_t>, top_k<std::int32_t>, top_k<std::int64_t>, top_k<float>, top_k<double>},
    {searchsorted<std::uint8_t>, searchsorted<std::int32_t>, searchsorted<std::int64_t>,
     searchsorted<float>, searchsorted<double>},
    {in_top_k<float>, in_top_k<double>},
};

}  // namespace kcore::KCORE_ISA_NAMESPACE
