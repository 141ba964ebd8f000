// Instructions on images, NHWC, float32 or float64.
//
//   max_pool2d, average_pool2d   pool, strides (height, width); pads (top, bottom, left, right),
//   which
//                                are no elements: an average does not count them
//                                max_pool2d's second output, if there is one, are the places of
//                                what was taken in the windows, uint8, or int32 if a window has
//                                more than 256 elements
//   max_pool2d_gradient          places, dy -> dx
//   max_pool2d_select            places, v -> the elements of v in those places
//   average_pool2d_gradient      dy -> dx
//   resize                       method: nearest or bilinear, pixels having their centres at halves
//   resize_gradient              dy -> dx
#include <cmath>

#include "kernels/pooling.h"
#include "program/instruction.h"

namespace kcore {
namespace {

void check_counts(const Operands& inputs, const Operands& outputs, std::size_t in,
                  std::size_t out = 1) {
  require(inputs.size() == in && outputs.size() == out,
          "takes " + std::to_string(in) + " inputs and has " + std::to_string(out) +
              " outputs, got " + std::to_string(inputs.size()) + " and " +
              std::to_string(outputs.size()));
}

void check(const char* what, const Operand& operand, DType dtype, const Shape& shape) {
  require(operand.dtype == dtype && operand.shape == shape,
          std::string(what) + " must be " + dtype_name(dtype) + " " + to_string(shape) + ", got " +
              dtype_name(operand.dtype) + " " + to_string(operand.shape));
}

void check_image(const char* what, const Operand& operand) {
  require(
      (operand.dtype == DType::float32 || operand.dtype == DType::float64) && operand.rank() == 4,
      std::string(what) + " must be float32 or float64 images (N, H, W, C), got " +
          dtype_name(operand.dtype) + " " + to_string(operand.shape));
}

int float_kernel(const Operand& operand) { return operand.dtype == DType::float64; }

std::int64_t checked_outputs(const char* axis, std::int64_t extent, std::int64_t pool,
                             std::int64_t stride, std::int64_t low, std::int64_t high) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 31;
  require(pool > 0 && pool < kLimit && stride > 0 && stride < kLimit,
          std::string("pool and strides must be positive (") + axis + ")");
  require(low >= 0 && low < pool && high >= 0 && high < pool,
          std::string("pads must not be negative and less than the pool (") + axis + ")");
  require(extent > 0 && extent < kLimit && extent + low + high >= pool,
          std::string("the pool does not fit into the images' ") + axis + " of " +
              std::to_string(extent));
  // As the pads are less than the pool, every window holds an element.
  return (extent + low + high - pool) / stride + 1;
}

// `x` and the attributes give the output's shape.
Pooling make_pooling(const Operand& x, const Attributes& attributes) {
  const auto pool = attributes.integers("pool"), strides = attributes.integers("strides");
  const auto pads = attributes.integers("pads");
  require(pool.size() == 2 && strides.size() == 2, "pool and strides must have 2 elements");
  require(pads.size() == 4, "pads must have 4 elements");
  Pooling p{};
  p.batch = x.shape[0];
  p.height = x.shape[1];
  p.width = x.shape[2];
  p.channels = x.shape[3];
  p.pool_height = pool[0];
  p.pool_width = pool[1];
  p.stride_y = strides[0];
  p.stride_x = strides[1];
  p.top = pads[0];
  p.left = pads[2];
  p.out_height = checked_outputs("height", p.height, pool[0], strides[0], pads[0], pads[1]);
  p.out_width = checked_outputs("width", p.width, pool[1], strides[1], pads[2], pads[3]);
  return p;
}

Shape pooled_shape(const Pooling& p) { return {p.batch, p.out_height, p.out_width, p.channels}; }

double pooling_flops(const Pooling& p, const Operand& y) {
  return static_cast<double>(y.size()) * static_cast<double>(p.pool_height * p.pool_width);
}

class AveragePool final : public Instruction {
 public:
  AveragePool(const Operand& x, const Operand& y, const Pooling& pooling)
      : x_(x), y_(y), pooling_(pooling) {}

  void run(const Frame& frame) const override {
    pooling_kernels().average_pool[float_kernel(x_)](pooling_, frame.data<void>(x_),
                                                     frame.data<void>(y_));
  }

  double flops() const override { return pooling_flops(pooling_, y_); }

 private:
  Operand x_, y_;
  Pooling pooling_;
};

std::unique_ptr<Instruction> make_average_pool(const Operands& inputs, const Operands& outputs,
                                               const Attributes& attributes) {
  check_counts(inputs, outputs, 1);
  check_image("input", inputs[0]);
  const Pooling pooling = make_pooling(inputs[0], attributes);
  check("output", outputs[0], inputs[0].dtype, pooled_shape(pooling));
  return std::make_unique<AveragePool>(inputs[0], outputs[0], pooling);
}

// The type of places in windows of that size.
DType place_dtype(const Pooling& p) {
  return p.pool_height * p.pool_width <= 256 ? DType::uint8 : DType::int32;
}

int place_kernel(const Operand& places) { return places.dtype == DType::int32; }

class MaxPool final : public Instruction {
 public:
  MaxPool(const Operand& x, const Operands& outputs, const Pooling& pooling)
      : x_(x), outputs_(outputs), pooling_(pooling) {}

  void run(const Frame& frame) const override {
    const PoolingKernels& kernels = pooling_kernels();
    const void* x = frame.data<void>(x_);
    void* y = frame.data<void>(outputs_[0]);
    const int kind = float_kernel(x_);
    if (outputs_.size() == 1) {
      kernels.max_pool[kind](pooling_, x, y);
    } else {
      const Operand& places = outputs_[1];
      kernels.max_pool_places[kind][place_kernel(places)](pooling_, x, y, frame.data<void>(places));
    }
  }

  double flops() const override { return pooling_flops(pooling_, outputs_[0]); }

 private:
  Operand x_;
  Operands outputs_;
  Pooling pooling_;
};

std::unique_ptr<Instruction> make_max_pool(const Operands& inputs, const Operands& outputs,
                                           const Attributes& attributes) {
  check_counts(inputs, outputs, 1, outputs.size() == 2 ? 2 : 1);
  check_image("input", inputs[0]);
  const Pooling pooling = make_pooling(inputs[0], attributes);
  check("output", outputs[0], inputs[0].dtype, pooled_shape(pooling));
  if (outputs.size() == 2) check("places", outputs[1], place_dtype(pooling), pooled_shape(pooling));
  return std::make_unique<MaxPool>(inputs[0], outputs, pooling);
}

class MaxPoolGradient final : public Instruction {
 public:
  MaxPoolGradient(const Operands& inputs, const Operand& dx, const Pooling& pooling)
      : inputs_(inputs), dx_(dx), pooling_(pooling) {}

  void run(const Frame& frame) const override {
    pooling_kernels().max_pool_gradient[float_kernel(dx_)][place_kernel(inputs_[0])](
        pooling_, frame.data<void>(inputs_[0]), frame.data<void>(inputs_[1]),
        frame.data<void>(dx_));
  }

  ScratchNeed scratch() const override {
    return pooling_kernels().max_pool_gradient_scratch[float_kernel(dx_)](pooling_);
  }

 private:
  Operands inputs_;
  Operand dx_;
  Pooling pooling_;
};

std::unique_ptr<Instruction> make_max_pool_gradient(const Operands& inputs, const Operands& outputs,
                                                    const Attributes& attributes) {
  check_counts(inputs, outputs, 2);
  const Operand& dx = outputs[0];
  check_image("output", dx);
  const Pooling pooling = make_pooling(dx, attributes);
  check("places", inputs[0], place_dtype(pooling), pooled_shape(pooling));
  check("dy", inputs[1], dx.dtype, pooled_shape(pooling));
  return std::make_unique<MaxPoolGradient>(inputs, dx, pooling);
}

class MaxPoolSelect final : public Instruction {
 public:
  MaxPoolSelect(const Operands& inputs, const Operand& out, const Pooling& pooling)
      : inputs_(inputs), out_(out), pooling_(pooling) {}

  void run(const Frame& frame) const override {
    pooling_kernels().max_pool_select[float_kernel(out_)][place_kernel(inputs_[0])](
        pooling_, frame.data<void>(inputs_[0]), frame.data<void>(inputs_[1]),
        frame.data<void>(out_));
  }

 private:
  Operands inputs_;
  Operand out_;
  Pooling pooling_;
};

std::unique_ptr<Instruction> make_max_pool_select(const Operands& inputs, const Operands& outputs,
                                                  const Attributes& attributes) {
  check_counts(inputs, outputs, 2);
  const Operand& v = inputs[1];
  check_image("v", v);
  const Pooling pooling = make_pooling(v, attributes);
  check("places", inputs[0], place_dtype(pooling), pooled_shape(pooling));
  check("output", outputs[0], v.dtype, pooled_shape(pooling));
  return std::make_unique<MaxPoolSelect>(inputs, outputs[0], pooling);
}

class AveragePoolGradient final : public Instruction {
 public:
  AveragePoolGradient(const Operand& dy, const Operand& dx, const Pooling& pooling)
      : dy_(dy), dx_(dx), pooling_(pooling) {}

  void run(const Frame& frame) const override {
    pooling_kernels().average_pool_gradient[float_kernel(dx_)](pooling_, frame.data<void>(dy_),
                                                               frame.data<void>(dx_));
  }

  ScratchNeed scratch() const override {
    return pooling_kernels().average_pool_gradient_scratch[float_kernel(dx_)](pooling_);
  }

 private:
  Operand dy_, dx_;
  Pooling pooling_;
};

std::unique_ptr<Instruction> make_average_pool_gradient(const Operands& inputs,
                                                        const Operands& outputs,
                                                        const Attributes& attributes) {
  check_counts(inputs, outputs, 1);
  const Operand& dx = outputs[0];
  check_image("output", dx);
  const Pooling pooling = make_pooling(dx, attributes);
  check("dy", inputs[0], dx.dtype, pooled_shape(pooling));
  return std::make_unique<AveragePoolGradient>(inputs[0], dx, pooling);
}

// The inputs that each output along an axis is made of.
struct Taps {
  std::int64_t in_extent = 0, out_extent = 0;
  std::vector<std::int64_t> starts, indices;
  std::vector<double> weights;

  ResamplingAxis view() const {
    return {in_extent, out_extent, starts.data(), indices.data(), weights.data()};
  }
};

Taps make_taps(const std::string& method, std::int64_t in, std::int64_t out) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 24;
  require(in < kLimit && out < kLimit, "cannot resize images of more than 2^24 pixels a side");
  require(in > 0 || out == 0, "cannot resize images without pixels");
  Taps taps{in, out, {0}, {}, {}};
  const auto add = [&](std::int64_t index, double weight) {
    taps.indices.push_back(std::min(std::max(index, std::int64_t{0}), in - 1));
    taps.weights.push_back(weight);
  };
  const double scale = out > 0 ? static_cast<double>(in) / static_cast<double>(out) : 0;
  for (std::int64_t o = 0; o < out; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale;
    if (method == "nearest") {
      add(static_cast<std::int64_t>(std::floor(centre)), 1);
    } else {
      const double low = std::floor(centre - 0.5), fraction = centre - 0.5 - low;
      add(static_cast<std::int64_t>(low), 1 - fraction);
      if (fraction > 0) add(static_cast<std::int64_t>(low) + 1, fraction);
    }
    taps.starts.push_back(static_cast<std::int64_t>(taps.indices.size()));
  }
  return taps;
}

Taps transposed(const Taps& taps) {
  Taps result{taps.out_extent, taps.in_extent, {0}, {}, {}};
  std::vector<std::vector<std::pair<std::int64_t, double>>> uses(taps.in_extent);
  for (std::int64_t o = 0; o < taps.out_extent; ++o) {
    for (std::int64_t k = taps.starts[o]; k < taps.starts[o + 1]; ++k) {
      uses[taps.indices[k]].emplace_back(o, taps.weights[k]);
    }
  }
  for (const auto& list : uses) {
    for (const auto& [o, weight] : list) {
      result.indices.push_back(o);
      result.weights.push_back(weight);
    }
    result.starts.push_back(static_cast<std::int64_t>(result.indices.size()));
  }
  return result;
}

class Resample final : public Instruction {
 public:
  Resample(const Operand& x, const Operand& y, Taps rows, Taps columns)
      : x_(x), y_(y), rows_(std::move(rows)), columns_(std::move(columns)) {}

  void run(const Frame& frame) const override {
    pooling_kernels().resample[float_kernel(x_)](x_.shape[0], x_.shape[3], rows_.view(),
                                                 columns_.view(), frame.data<void>(x_),
                                                 frame.data<void>(y_));
  }

  double flops() const override {
    const double row_taps = static_cast<double>(rows_.indices.size());
    const double column_taps = static_cast<double>(columns_.indices.size());
    return 2 * static_cast<double>(x_.shape[0] * x_.shape[3]) * row_taps * column_taps;
  }

 private:
  Operand x_, y_;
  Taps rows_, columns_;
};

template <bool gradient>
std::unique_ptr<Instruction> make_resize(const Operands& inputs, const Operands& outputs,
                                         const Attributes& attributes) {
  check_counts(inputs, outputs, 1);
  const Operand &in = inputs[0], &out = outputs[0];
  check_image("input", in);
  check_image("output", out);
  check("output", out, in.dtype, {in.shape[0], out.shape[1], out.shape[2], in.shape[3]});
  const std::string method = attributes.text("method");
  require(method == "nearest" || method == "bilinear",
          "method must be nearest or bilinear, got '" + method + "'");
  const Operand &small = gradient ? out : in, &large = gradient ? in : out;
  Taps rows = make_taps(method, small.shape[1], large.shape[1]);
  Taps columns = make_taps(method, small.shape[2], large.shape[2]);
  if (gradient) rows = transposed(rows), columns = transposed(columns);
  return std::make_unique<Resample>(in, out, std::move(rows), std::move(columns));
}

const RegisterInstruction max_pool("max_pool2d", make_max_pool);
const RegisterInstruction max_pool_gradient("max_pool2d_gradient", make_max_pool_gradient);
const RegisterInstruction max_pool_select("max_pool2d_select", make_max_pool_select);
const RegisterInstruction average_pool("average_pool2d", make_average_pool);
const RegisterInstruction average_pool_gradient("average_pool2d_gradient",
                                                make_average_pool_gradient);
const RegisterInstruction resize("resize", make_resize<false>);
const RegisterInstruction resize_gradient("resize_gradient", make_resize<true>);

}  // namespace
}  // namespace kcore
