// Depthwise convolution: every channel is filtered on its own, so vectors run along channels and
// there is no product to block. A kernel with a multiplier m > 1 is one with multiplier 1 on
// images whose every channel stands m times side by side.
#include "kernels/correlation.h"

namespace kcore::KCORE_ISA_NAMESPACE {

namespace {

constexpr std::int64_t kTasks = 64;
constexpr double kChunkFlops = 1e6;
constexpr int kPixels = 6;  // neighbouring outputs that share a load of the kernel
constexpr int kTaps = 5;    // of a kernel row, summed at once by the weight gradient

// Outputs of `axis` that read inside of the source at tap t: [first, last).
KCORE_INLINE Range valid_outputs(const Axis& axis, std::int64_t t) {
  const std::int64_t start = axis.origin + t * axis.tap_step;
  const std::int64_t first = start < 0 ? ceil_div(-start, axis.step) : 0;
  const std::int64_t last = start < axis.source ? (axis.source - 1 - start) / axis.step + 1 : 0;
  return {min(first, axis.out), max(min(first, axis.out), min(last, axis.out))};
}

// Outputs for which every tap lies inside of the source.
KCORE_INLINE Range interior_outputs(const Axis& axis) {
  if (axis.taps == 0) return {0, axis.out};
  const std::int64_t first = valid_outputs(axis, 0).first;
  return {first, max(first, valid_outputs(axis, axis.taps - 1).last)};
}

template <class T>
struct Filter {
  Axis rows, cols;
  std::int64_t batch, channels;
  std::int64_t kernel_cols;
  std::int64_t out_rows, out_cols;
  const T* source;
  const T* kernel;
  const T* bias;
  Activation activation;
  T* out;
  std::int64_t
      ahead;  // pixels whose place in `out` is prefetched: waiting for it takes the longest
};

// `Pixels` neighbouring outputs from j on, `lanes` channels from c on, taps of the given ranges.
// With Taps > 0, every row has all of its Taps taps, side by side, and outputs are Step apart: what
// neighbours share is loaded once.
template <class T, bool Whole, int Pixels, int Taps = 0, int Step = 0>
KCORE_INLINE void filter_pixels(const Filter<T>& f, const T* source_row, T* out_row, std::int64_t i,
                                std::int64_t j, std::int64_t c, std::int64_t lanes, Range rows,
                                Range cols) {
  const auto load_lanes = [=](const T* p) __attribute__((always_inline)) {
    return Whole ? load(p) : load_partial(p, lanes);
  };
  Vec<T> acc[Pixels] = {};
  const std::int64_t out_pitch = f.cols.out_step * f.channels;
  T* y = out_row + j * out_pitch + c;
  if constexpr (Pixels > 1) {
#pragma GCC unroll 8
    for (int q = 0; q < Pixels; ++q) __builtin_prefetch(y + (q + f.ahead) * out_pitch, 1);
  }
  const std::int64_t pitch = f.cols.step * f.channels;
  const std::int64_t kernel_pitch = f.cols.kernel_step * f.channels;
  for (std::int64_t u = rows.first; u < rows.last; ++u) {
    const std::int64_t row = f.rows.origin + i * f.rows.step + u * f.rows.tap_step;
    const std::int64_t col = f.cols.origin + j * f.cols.step;
    const std::int64_t kernel_row = f.rows.kernel_first + u * f.rows.kernel_step;
    const T* x = source_row + (row * f.cols.source + col) * f.channels + c;
    const T* k = f.kernel + (kernel_row * f.kernel_cols + f.cols.kernel_first) * f.channels + c;
    if constexpr (Taps > 0) {
      constexpr int reach = (Pixels - 1) * Step + Taps;
      Vec<T> weights[Taps];
#pragma GCC unroll 8
      for (int v = 0; v < Taps; ++v) weights[v] = load_lanes(k + v * kernel_pitch);
#pragma GCC unroll 32
      for (int p = 0; p < reach; ++p) {
        const Vec<T> pixel = load_lanes(x + p * f.channels);
#pragma GCC unroll 8
        for (int v = 0; v < Taps; ++v) {
          if (p >= v && (p - v) % Step == 0 && (p - v) / Step < Pixels) {
            acc[(p - v) / Step] += pixel * weights[v];
          }
        }
      }
    } else {
      for (std::int64_t v = cols.first; v < cols.last; ++v) {
        const T* pixel = x + v * f.cols.tap_step * f.channels;
        const Vec<T> weight = load_lanes(k + v * kernel_pitch);
#pragma GCC unroll 8
        for (int q = 0; q < Pixels; ++q) acc[q] += load_lanes(pixel + q * pitch) * weight;
      }
    }
  }
  Vec<T> bias{};
  if (f.bias != nullptr) bias = load_lanes(f.bias + c);
#pragma GCC unroll 8
  for (int q = 0; q < Pixels; ++q) {
    Vec<T> value = acc[q] + bias;
    if (f.activation == Activation::relu) value = rectify(value);
    Whole ? store(y + q * out_pitch, value) : store_partial(y + q * out_pitch, value, lanes);
  }
}

// All channels of Pixels outputs.
template <class T, int Pixels, int Taps = 0, int Step = 0>
KCORE_INLINE void filter_channels(const Filter<T>& f, const T* source_row, T* out_row,
                                  std::int64_t i, std::int64_t j, Range rows, Range cols) {
  std::int64_t c = 0;
  for (; c + kWidth<T> <= f.channels; c += kWidth<T>) {
    filter_pixels<T, true, Pixels, Taps, Step>(f, source_row, out_row, i, j, c, kWidth<T>, rows,
                                               cols);
  }
  if (c < f.channels) {
    filter_pixels<T, false, Pixels, Taps, Step>(f, source_row, out_row, i, j, c, f.channels - c,
                                                rows, cols);
  }
}

// One row of outputs. Taps and Step as above, for the pixels that have all taps.
template <class T, int Taps, int Step>
void filter_row(const Filter<T>& f, std::int64_t image, std::int64_t i, Range interior) {
  const T* source = f.source + image * f.rows.source * f.cols.source * f.channels;
  T* out = f.out + ((image * f.out_rows + f.rows.out_first + i * f.rows.out_step) * f.out_cols +
                    f.cols.out_first) *
                       f.channels;
  const Range rows = valid_taps(f.rows, i), all{0, f.cols.taps};
  const auto border = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t j = first; j < last; ++j) {
      filter_channels<T, 1>(f, source, out, i, j, rows, valid_taps(f.cols, j));
    }
  };
  std::int64_t done = interior.first;
  border(0, done);
  while (done + kPixels <= interior.last) {
    filter_channels<T, kPixels, Taps, Step>(f, source, out, i, done, rows, all);
    done += kPixels;
    // The last ones begin with some that are done already: all at once is faster than one by one.
    if (done < interior.last) done = min(done, interior.last - kPixels);
  }
  border(done, f.cols.out);
  if (f.activation > Activation::relu) {
    activate_block<T>(out, f.cols.out_step * f.channels, f.cols.out, f.channels, f.activation);
  }
}

template <class T>
using FilterRow = void (*)(const Filter<T>&, std::int64_t, std::int64_t, Range);

template <class T>
FilterRow<T> find_filter_row(const Axis& cols) {
  if (cols.tap_step == 1 && cols.step == 1) {
    if (cols.taps == 3) return filter_row<T, 3, 1>;
    if (cols.taps == 5) return filter_row<T, 5, 1>;
    if (cols.taps == 7) return filter_row<T, 7, 1>;
  } else if (cols.tap_step == 1 && cols.step == 2) {
    if (cols.taps == 3) return filter_row<T, 3, 2>;
    if (cols.taps == 5) return filter_row<T, 5, 2>;
  }
  return filter_row<T, 0, 0>;
}

// The outputs of one phase of columns: all of a forward pass.
template <class T>
struct Phase {
  Axis cols;
  Range interior;
  FilterRow<T> filter_row;
};

template <class T>
Phase<T> make_phase(const Axis& cols) {
  return {cols, interior_outputs(cols), find_filter_row<T>(cols)};
}

// Runs every phase of rows and columns, those that lie side by side in `out` one after the other.
template <class T>
void filter(Filter<T> f, const Axis* rows, std::int64_t row_phases, const Phase<T>* cols,
            std::int64_t col_phases, std::int64_t taps) {
  constexpr std::int64_t ahead_bytes = 2048;
  f.ahead = kPixels * ceil_div(ahead_bytes, kPixels * f.channels * std::int64_t{sizeof(T)});
  const std::int64_t lines = f.batch * rows[0].out;
  const double line_flops = 2.0 * static_cast<double>(row_phases * f.out_cols * f.channels) *
                            static_cast<double>(1 + taps);
  const auto grain = static_cast<std::int64_t>(1 + kTaskFlops / (line_flops + 1));
  for_tasks(lines > grain, ceil_div(lines, grain), [&](std::int64_t task) {
    Filter<T> own = f;
    for (std::int64_t line = task * grain; line < min(lines, (task + 1) * grain); ++line) {
      const std::int64_t image = line / rows[0].out, i = line % rows[0].out;
      for (std::int64_t row = 0; row < row_phases; ++row) {
        if (i >= rows[row].out) continue;
        own.rows = rows[row];
        for (std::int64_t col = 0; col < col_phases; ++col) {
          own.cols = cols[col].cols;
          cols[col].filter_row(own, image, i, cols[col].interior);
        }
      }
    }
  });
}

KCORE_INLINE std::int64_t multiplier(const ConvolutionGeometry& g) {
  return g.in_channels == 0 ? 0 : g.out_channels / g.in_channels;
}

// The images with every channel repeated, or x itself where the multiplier is 1.
template <class T>
const T* repeat_channels(const ConvolutionGeometry& g, const T* x, T* repeated) {
  const std::int64_t times = multiplier(g);
  if (times == 1) return x;
  const std::int64_t lines = g.batch * g.in_rows;
  const std::int64_t elements = g.in_cols * g.in_channels;
  for_tasks(lines * elements * times > 65536, lines, [&](std::int64_t line) {
    const T* from = x + line * elements;
    T* to = repeated + line * elements * times;
    for (std::int64_t e = 0; e < elements; ++e) {
      for (std::int64_t m = 0; m < times; ++m) *to++ = from[e];
    }
  });
  return repeated;
}

template <class T>
ConvolutionMemory repeated_memory(const ConvolutionGeometry& g) {
  Workspace workspace{nullptr};
  if (multiplier(g) != 1) workspace.take<T>(g.batch * g.in_rows * g.in_cols * g.out_channels);
  return {workspace.bytes, 0};
}

template <class T>
void forward(const ConvolutionGeometry& g, const T* x, const T* kernel, const Epilogue<T>& epilogue,
             T* y, void* workspace) {
  if (g.out_channels == 0) return;
  const Axis rows =
      forward_axis(g.out_rows, g.stride_rows, g.in_rows, g.pad_top, g.kernel_rows, g.dilation_rows);
  const Phase<T> cols = make_phase<T>(forward_axis(g.out_cols, g.stride_cols, g.in_cols, g.pad_left,
                                                   g.kernel_cols, g.dilation_cols));
  Filter<T> f{};
  f.batch = g.batch;
  f.channels = g.out_channels;
  f.kernel_cols = g.kernel_cols;
  f.out_rows = g.out_rows;
  f.out_cols = g.out_cols;
  f.source = repeat_channels(g, x, static_cast<T*>(workspace));
  f.kernel = kernel;
  f.bias = epilogue.bias;
  f.activation = epilogue.activation;
  f.out = y;
  filter(f, &rows, 1, &cols, 1, g.kernel_rows * g.kernel_cols);
}

// The phases of a data gradient, and the images that it sums over multiplied channels.
template <class T>
struct DataPlan {
  std::int64_t row_phases, col_phases;
  Axis* rows;
  Phase<T>* cols;
  T* repeated;
};

template <class T>
DataPlan<T> make_data_plan(const ConvolutionGeometry& g, Workspace& workspace) {
  DataPlan<T> plan;
  plan.row_phases = min(g.stride_rows, g.in_rows);
  plan.col_phases = min(g.stride_cols, g.in_cols);
  plan.rows = workspace.take<Axis>(plan.row_phases);
  plan.cols = workspace.take<Phase<T>>(plan.col_phases);
  plan.repeated =
      workspace.take<T>(multiplier(g) == 1 ? 0 : g.batch * g.in_rows * g.in_cols * g.out_channels);
  return plan;
}

template <class T>
ConvolutionMemory data_gradient_memory(const ConvolutionGeometry& g) {
  Workspace workspace{nullptr};
  make_data_plan<T>(g, workspace);
  return {workspace.bytes, 0};
}

template <class T>
void data_gradient(const ConvolutionGeometry& g, const T* dy, const T* kernel, T* dx,
                   void* memory) {
  const std::int64_t times = multiplier(g);
  const std::int64_t pixels = g.batch * g.in_rows * g.in_cols;
  if (times == 0) return clear(dx, pixels * g.in_channels);
  Workspace workspace{static_cast<std::byte*>(memory)};
  const DataPlan<T> plan = make_data_plan<T>(g, workspace);
  for (std::int64_t row = 0; row < plan.row_phases; ++row) {
    plan.rows[row] = phase_axis(g.in_rows, g.stride_rows, g.out_rows, g.pad_top, g.kernel_rows,
                                g.dilation_rows, (row + g.pad_top) % g.stride_rows);
  }
  for (std::int64_t col = 0; col < plan.col_phases; ++col) {
    plan.cols[col] =
        make_phase<T>(phase_axis(g.in_cols, g.stride_cols, g.out_cols, g.pad_left, g.kernel_cols,
                                 g.dilation_cols, (col + g.pad_left) % g.stride_cols));
  }
  Filter<T> f{};
  f.batch = g.batch;
  f.channels = g.out_channels;
  f.kernel_cols = g.kernel_cols;
  f.out_rows = g.in_rows;
  f.out_cols = g.in_cols;
  f.source = dy;
  f.kernel = kernel;
  f.activation = Activation::none;
  f.out = times == 1 ? dx : plan.repeated;
  const std::int64_t phases = plan.row_phases * plan.col_phases;
  filter(f, plan.rows, plan.row_phases, plan.cols, plan.col_phases,
         g.kernel_rows * g.kernel_cols / max(1, phases));
  if (times == 1) return;
  const std::int64_t grain = 1 + 16384 / (g.out_channels + 1);
  for_tasks(pixels > grain, ceil_div(pixels, grain), [&](std::int64_t task) {
    const std::int64_t end = min(pixels, (task + 1) * grain) * g.in_channels;
    for (std::int64_t e = task * grain * g.in_channels; e < end; ++e) {
      T sum = 0;
      for (std::int64_t m = 0; m < times; ++m) sum += f.out[e * times + m];
      dx[e] = sum;
    }
  });
}

// The operands of a weight gradient.
template <class T>
struct Correlation {
  Axis rows, cols;
  std::int64_t channels;
  const T* x;
  const T* dy;
};

// Rows of that many taps whose sums stay in registers together.
#if defined(__AVX512F__)
constexpr int rows_of(int taps) { return taps == 3 ? 3 : taps == 5 ? 5 : 1; }
#else
constexpr int rows_of(int taps) { return taps == 3 ? 3 : taps == 5 ? 2 : 1; }
#endif

// Adds to `sums`, for Rows x Taps neighbouring taps from (u, v) on and `lanes` channels from c on,
// what lines [first, last) of dy give times what the taps read.
template <class T, int Rows, int Taps, bool Whole>
void correlate(const Correlation<T>& k, std::int64_t first, std::int64_t last, std::int64_t u,
               std::int64_t v, std::int64_t c, std::int64_t lanes, T* sums) {
  const auto load_lanes = [=](const T* p) __attribute__((always_inline)) {
    return Whole ? load(p) : load_partial(p, lanes);
  };
  const std::int64_t channels = k.channels, row_sums = k.cols.taps * channels;
  const std::int64_t step = k.cols.step * channels, tap_step = k.cols.tap_step * channels;
  const std::int64_t start = k.cols.origin + v * k.cols.tap_step;
  const std::int64_t inner_first = valid_outputs(k.cols, v).first;
  const std::int64_t inner_last = max(inner_first, valid_outputs(k.cols, v + Taps - 1).last);
  Vec<T> acc[Rows][Taps];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int t = 0; t < Taps; ++t) acc[r][t] = load_lanes(sums + r * row_sums + t * channels);
  }
  for (std::int64_t line = first; line < last; ++line) {
    const std::int64_t image = line / k.rows.out, i = line % k.rows.out;
    const T* x[Rows];  // null where the row lies outside of the image
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const std::int64_t row = k.rows.origin + i * k.rows.step + (u + r) * k.rows.tap_step;
      x[r] = row < 0 || row >= k.rows.source
                 ? nullptr
                 : k.x + ((image * k.rows.source + row) * k.cols.source + start) * channels + c;
    }
    const T* dy = k.dy + line * k.cols.out * channels + c;
    const auto border = [&](std::int64_t from, std::int64_t to) __attribute__((always_inline)) {
      for (std::int64_t j = from; j < to; ++j) {
        const Vec<T> gradient = load_lanes(dy + j * channels);
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t) {
          const std::int64_t col = start + j * k.cols.step + t * k.cols.tap_step;
          if (col < 0 || col >= k.cols.source) continue;
#pragma GCC unroll 8
          for (int r = 0; r < Rows; ++r) {
            if (x[r] == nullptr) continue;
            acc[r][t] += load_lanes(x[r] + j * step + t * tap_step) * gradient;
          }
        }
      }
    };
    border(0, inner_first);
    for (std::int64_t j = inner_first; j < inner_last; ++j) {
      const Vec<T> gradient = load_lanes(dy + j * channels);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        if (x[r] == nullptr) continue;
        const T* pixel = x[r] + j * step;
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t) acc[r][t] += load_lanes(pixel + t * tap_step) * gradient;
      }
    }
    border(inner_last, k.cols.out);
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int t = 0; t < Taps; ++t) {
      T* to = sums + r * row_sums + t * channels;
      Whole ? store(to, acc[r][t]) : store_partial(to, acc[r][t], lanes);
    }
  }
}

template <class T>
using Correlate = void (*)(const Correlation<T>&, std::int64_t, std::int64_t, std::int64_t,
                           std::int64_t, std::int64_t, std::int64_t, T*);

// The kernel for so many taps of a row (1..kTaps), of one row or of rows_of(taps).
template <class T, int Taps = kTaps>
Correlate<T> find_correlate(std::int64_t taps, bool one_row, bool whole) {
  if constexpr (Taps > 1) {
    if (taps < Taps) return find_correlate<T, Taps - 1>(taps, one_row, whole);
  }
  if (one_row) return whole ? correlate<T, 1, Taps, true> : correlate<T, 1, Taps, false>;
  return whole ? correlate<T, rows_of(Taps), Taps, true> : correlate<T, rows_of(Taps), Taps, false>;
}

struct WeightPlan {
  std::int64_t lines, chunks, chunk_lines, size;
};

KCORE_INLINE WeightPlan make_weight_plan(const ConvolutionGeometry& g) {
  WeightPlan plan;
  plan.lines = g.batch * g.out_rows;
  plan.size = g.kernel_rows * g.kernel_cols * g.out_channels;
  const double flops =
      2.0 * static_cast<double>(plan.lines * g.out_cols) * static_cast<double>(plan.size);
  plan.chunks =
      flops < kTasks * kChunkFlops ? static_cast<std::int64_t>(1 + flops / kChunkFlops) : kTasks;
  plan.chunk_lines = max(1, ceil_div(plan.lines, plan.chunks));
  plan.chunks = max(1, ceil_div(plan.lines, plan.chunk_lines));
  return plan;
}

// Adds lines [first, last) to the gradient `sums`. What one vector of channels reads stays in the
// first-level cache from one row of taps to the next.
template <class T>
void correlate_lines(const Correlation<T>& k, std::int64_t first, std::int64_t last, T* sums) {
  constexpr std::int64_t cache = 24 << 10;
  const std::int64_t line_bytes =
      (k.cols.source * k.rows.step + k.cols.out) * static_cast<std::int64_t>(kVectorBytes);
  const std::int64_t group = max(1, cache / line_bytes);
  for (std::int64_t line = first; line < last; line += group) {
    for (std::int64_t c = 0; c < k.channels; c += kWidth<T>) {
      const std::int64_t lanes = min(kWidth<T>, k.channels - c);
      for (std::int64_t v = 0; v < k.cols.taps; v += kTaps) {
        const std::int64_t taps = min(kTaps, k.cols.taps - v);
        const std::int64_t most = rows_of(static_cast<int>(taps));
        for (std::int64_t u = 0; u < k.rows.taps;) {
          const std::int64_t rows = k.rows.taps - u < most ? 1 : most;
          find_correlate<T>(taps, rows == 1, lanes == kWidth<T>)(
              k, line, min(last, line + group), u, v, c, lanes,
              sums + (u * k.cols.taps + v) * k.channels + c);
          u += rows;
        }
      }
    }
  }
}

template <class T>
void weight_gradient(const ConvolutionGeometry& g, const T* x, const T* dy, T* dkernel,
                     void* memory) {
  const WeightPlan plan = make_weight_plan(g);
  if (plan.size == 0) return;
  Workspace workspace{static_cast<std::byte*>(memory)};
  T* repeated = nullptr;
  if (multiplier(g) != 1) {
    repeated = workspace.take<T>(g.batch * g.in_rows * g.in_cols * g.out_channels);
  }
  T* partials = workspace.take<T>((plan.chunks - 1) * plan.size);
  Correlation<T> k;
  k.rows =
      forward_axis(g.out_rows, g.stride_rows, g.in_rows, g.pad_top, g.kernel_rows, g.dilation_rows);
  k.cols = forward_axis(g.out_cols, g.stride_cols, g.in_cols, g.pad_left, g.kernel_cols,
                        g.dilation_cols);
  k.channels = g.out_channels;
  k.x = repeat_channels(g, x, repeated);
  k.dy = dy;
  for_tasks(plan.chunks > 1, plan.chunks, [&](std::int64_t chunk) {
    T* sums = chunk == 0 ? dkernel : partials + (chunk - 1) * plan.size;
    clear(sums, plan.size);
    correlate_lines(k, chunk * plan.chunk_lines, min(plan.lines, (chunk + 1) * plan.chunk_lines),
                    sums);
  });
  for (std::int64_t chunk = 0; chunk < plan.chunks - 1; ++chunk) {
    for (std::int64_t e = 0; e < plan.size; ++e) dkernel[e] += partials[chunk * plan.size + e];
  }
}

template <class T>
ConvolutionMemory weight_gradient_memory(const ConvolutionGeometry& g) {
  ConvolutionMemory most = repeated_memory<T>(g);
  const WeightPlan plan = make_weight_plan(g);
  Workspace workspace{nullptr, most.shared};
  workspace.take<T>((plan.chunks - 1) * plan.size);
  return {workspace.bytes, 0};
}

}  // namespace

const DepthwiseKernels<float> depthwise_float32_table = {
    forward<float>,         repeated_memory<float>,
    data_gradient<float>,   data_gradient_memory<float>,
    weight_gradient<float>, weight_gradient_memory<float>};
const DepthwiseKernels<double> depthwise_float64_table = {
    forward<double>,         repeated_memory<double>,
    data_gradient<double>,   data_gradient_memory<double>,
    weight_gradient<double>, weight_gradient_memory<double>};

}  // namespace kcore::KCORE_ISA_NAMESPACE
